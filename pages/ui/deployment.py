"""Where the app runs, as whoever runs it said: the profile with its limits, the lecturer's password, the log.

Each is an environment variable, or else a secret of the same name in small letters without SLM_.
"""

import logging
import os
import sys
from pathlib import Path

import streamlit as st

from pages.ui import server
from slm_core.errors import ConfigError
from slm_core.runs.limits import Limits, load_limits
from slm_core.text.corpus import LARGEST_TEXT_BYTES


def limits() -> Limits:
    """What visitors of this server may do. Raises ConfigError if SLM_PROFILE or SLM_LIMITS is wrong, or the
    secrets cannot be read."""
    return server.process_wide("limits", _load_limits)


def _load_limits() -> Limits:
    password()  # may be the only secret: a file that cannot be read must not leave the server open
    return load_limits(_said("profile"), _said("limits"))


def most_text_bytes() -> int:
    """How long a text may be that a visitor trains on here."""
    return min(LARGEST_TEXT_BYTES, limits().text_bytes)


def password() -> str:
    """What opens the Server page; empty if none was set."""
    return _said("password")


def start_log() -> None:
    """Write what runs do to the standard error stream, one line each with its time."""
    log = logging.getLogger("slm_core")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _said(name: str) -> str:
    if value := os.environ.get(f"SLM_{name.upper()}"):
        return value
    try:
        return str(st.secrets.get(name, ""))
    except FileNotFoundError as error:  # Streamlit says so of secrets that do not parse, too
        if any(Path(each).exists() for each in st.get_option("secrets.files")):
            logging.getLogger("slm_core").error("The secrets cannot be read: %s", error)
            raise ConfigError(
                'Its secrets cannot be read. They must be TOML, a line each, such as password = "chalk"; the '
                "log says more."
            ) from None
        return ""
