@echo off
rem Makes the environment .venv, installs what the app needs, and starts the app. It can be run again at any time:
rem what is there already stays. Whatever follows is for Streamlit: setup.bat --server.address localhost
setlocal
cd /d "%~dp0"
set "check=import sys; sys.exit(sys.version_info < (3, 11))"

.venv\Scripts\python -c "%check%" >nul 2>nul
if errorlevel 1 goto make
.venv\Scripts\pip --version >nul 2>nul
if errorlevel 1 goto make
goto install

:make
set "python=python"
%python% -c "%check%" >nul 2>nul
if not errorlevel 1 goto found
set "python=py -3"
%python% -c "%check%" >nul 2>nul
if not errorlevel 1 goto found
echo.
echo This needs Python 3.11 or newer, and there is none here.
echo Install it from python.org, with "Add python.exe to PATH", and run setup.bat again.
goto failed

:found
%python% -m venv .venv
if errorlevel 1 (
    echo.
    echo The environment .venv could not be made. Delete the folder .venv, and run setup.bat again.
    goto failed
)
.venv\Scripts\python -c "%check%" >nul 2>nul
if errorlevel 1 (
    echo.
    echo The folder .venv is an environment of an older Python. Delete it, and run setup.bat again.
    goto failed
)

:install
.venv\Scripts\pip install -r requirements.txt
if errorlevel 1 (
    echo.
    echo Not everything could be installed; pip says why above.
    echo Look after the network and the room on the disk, and run setup.bat again: it goes on where it was.
    echo More is in docs\troubleshooting.md.
    goto failed
)

.venv\Scripts\streamlit run app.py %*
exit /b %errorlevel%

:failed
pause
exit /b 1
