"""The app for Streamlit Community Cloud, which installs the requirements that lie beside its main file.

The app itself is app.py, two folders up; this file only starts it. Like app.py, it is read in two ways: as a
module, to find the server at its end, or, by a host that does not know st.App, as a script for each visit.
"""

import os
import runpy
import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app.py"

if str(ROOT) not in sys.path:  # Streamlit adds only the folder of the file that it was given
    sys.path.insert(0, str(ROOT))
if not (st.secrets.load_if_toml_exists() and "profile" in st.secrets):  # a variable would hide the secret
    os.environ.setdefault("SLM_PROFILE", "cloud")

from pages.ui import serving  # noqa: E402

if __name__ == "__main__":
    runpy.run_path(str(APP), run_name="__main__")
else:  # the call has to stand here: Streamlit looks for it in the text of this very file
    app = st.App(APP, **serving.parts())
