"""Who is looking. On a shared server every browser has its own runs; on a laptop all runs are everybody's.

A browser is known by a cookie that no script can read. Where none comes through (a page inside another page,
a host that runs the app as a plain script), by a name in the address, which is as secret as the address.
"""

import hashlib
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any

import streamlit as st

from pages.ui import deployment
from slm_core.errors import ConfigError
from slm_core.runs.store import Run

_NAME = "slm_visitor"  # of the cookie, and in the address
_TOKEN = re.compile(r"[\w-]{20,60}", re.ASCII)
_DAYS = 60


def owner() -> str:
    """The mark that this visitor's runs bear; empty on a laptop. It does not give away the cookie."""
    if not deployment.limits().separate:
        return ""
    token = _cookie()
    if not _TOKEN.fullmatch(token):
        token = st.session_state.get(_NAME) or st.query_params.get(_NAME, "")
        if not _TOKEN.fullmatch(token):
            token = _new_token()
        st.session_state[_NAME] = st.query_params[_NAME] = token
    return hashlib.sha256(token.encode()).hexdigest()[:20]


def _cookie() -> str:
    return st.context.cookies.get(_NAME, "")


def may_see(run: Run) -> bool:
    """Whether a run is this visitor's, or published."""
    return may_steer(run) or run.published


def may_steer(run: Run) -> bool:
    """Whether this visitor may stop, rename, publish or delete a run."""
    return not deployment.limits().separate or run.owner == owner()


def is_lecturer() -> bool:
    """Whether this visitor may see and steer everything: who has given the password on the page Server, and
    on a laptop without one everybody."""
    open_to_all = not deployment.password() and not deployment.limits().separate
    return open_to_all or bool(st.session_state.get("lecturer"))


class GivesCookie:
    """ASGI middleware: with a page, a browser that brings no cookie of ours gets one, on a shared server."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not _shared() or _has_cookie(scope["headers"]):
            await self._app(scope, receive, send)
            return

        async def send_with_cookie(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if dict(headers).get(b"content-type", b"").startswith(b"text/html"):
                    message = {**message, "headers": [*headers, (b"set-cookie", _new_cookie())]}
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _shared() -> bool:
    try:
        return deployment.limits().separate
    except ConfigError:  # the page says so
        return False


def _has_cookie(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"cookie":
            try:
                brought = SimpleCookie(value.decode("latin-1")).get(_NAME)
            except CookieError:
                continue
            if brought is not None and _TOKEN.fullmatch(brought.value):
                return True
    return False


def _new_cookie() -> bytes:
    kept = f"Path=/; Max-Age={_DAYS * 86_400}; HttpOnly; SameSite=Lax"
    return f"{_NAME}={_new_token()}; {kept}".encode()


def _new_token() -> str:
    return secrets.token_urlsafe(24)
