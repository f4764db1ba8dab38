"""`python -m slm_core`."""

import sys

from slm_core.cli import main

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # terminals and pipes that cannot write every character get a ?
    sys.exit(main())
