"""The server around the pages: what it does when it starts and ends, and what it serves besides them."""

import contextlib
import functools
import gzip
import importlib.metadata
import threading
import webbrowser
from collections.abc import AsyncIterator
from typing import Any

import streamlit as st
from streamlit import config

from pages.ui import deployment, server, visitor
from slm_core.errors import ConfigError
from slm_core.runs.limits import largest_upload_bytes


def parts() -> dict[str, Any]:
    """What st.App is made of, besides the script that it runs."""
    from starlette.middleware import Middleware

    return {
        "lifespan": lifespan,
        "routes": [plotly_route()],
        "middleware": [Middleware(visitor.GivesCookie)],
    }


@contextlib.asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """What happens before the first visitor and after the last one; for st.App."""
    # Because there is a folder called pages, Streamlit would look up the first visitor's address in it, as
    # was done before st.navigation, and greet a cold deep link with "Page not found". st.navigation clears
    # this very flag, but only when first called.
    from streamlit.runtime.pages_manager import PagesManager

    PagesManager.uses_pages_directory = False
    deployment.start_log()
    _take_files_as_large_as_allowed()
    if not st.get_option("server.headless"):  # `streamlit run` opens a browser for plain scripts only
        address = f"http://localhost:{st.get_option('server.port')}/{_base_path()}"
        opening = threading.Timer(1.0, webbrowser.open, [address])
        opening.daemon = True
        opening.start()
    try:
        yield
    finally:  # here and not only at exit: on SIGTERM the process ends without running atexit
        server.stop_everything()


def _take_files_as_large_as_allowed() -> None:
    """Have the server refuse what is larger than anything that this profile takes. A host that runs the app
    as a plain script keeps what .streamlit/config.toml says."""
    try:
        most = largest_upload_bytes(deployment.limits())
    except ConfigError:  # every page says so
        return
    config.set_option("server.maxUploadSize", -(-most // 1_000_000), "the limits of this server's profile")


def plotly_route() -> Any:
    """The route that serves plotly.js out of the installed plotly package; for st.App.

    From memory rather than from a static folder: it needs no writable folder, leaves nothing to ignore or
    clean up, works offline, and is sent compressed (1.5 MB, not 4.8), as static files are not. The version
    stands in the address, so browsers may keep it for good.
    """
    from starlette.responses import Response
    from starlette.routing import Route

    def serve(request: Any) -> Response:
        return Response(
            _compressed_plotly_js(),
            media_type="text/javascript",
            headers={"Content-Encoding": "gzip", "Cache-Control": "public, max-age=31536000, immutable"},
        )

    name = f"plotly-{importlib.metadata.version('plotly')}.min.js"
    server.process_state()["plotly_address"] = name
    return Route(f"/{_base_path()}{name}", serve)


def plotly_address() -> str | None:
    """Where plotly.js is served, relative to any page; None where it is not (page tests, other hosts)."""
    return server.process_state().get("plotly_address")


@functools.cache
def _compressed_plotly_js() -> bytes:
    from plotly.offline import get_plotlyjs

    return gzip.compress(get_plotlyjs().encode(), compresslevel=6)


def _base_path() -> str:
    path = st.get_option("server.baseUrlPath").strip("/")
    return f"{path}/" if path else ""
