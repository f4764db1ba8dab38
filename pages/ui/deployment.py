"""Where the app runs, as whoever runs it said: the profile with its limits, the lecturer's password, the log.

Each is an environment variable, or else a secret of the same name in small letters without SLM_.
"""

import logging
import os
import sys

import streamlit as st

from pages.ui import server
from slm_core.runs.limits import Limits, load_limits
from slm_core.text.corpus import LARGEST_TEXT_BYTES


def limits() -> Limits:
    """What visitors of this server may do. Raises ConfigError if SLM_PROFILE or SLM_LIMITS is wrong."""
    return server.process_wide("limits", lambda: load_limits(_said("profile"), _said("limits")))


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
    except FileNotFoundError:  # no secrets were given
        return ""
