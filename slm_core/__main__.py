"""`python -m slm_core`."""

import sys

from slm_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
