"""Where others find this app: its address, as links and QR codes need it."""

from urllib.parse import urlsplit

import streamlit as st
from streamlit import net_util

_ONLY_HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_QR_BORDER = 4  # white squares that a reader needs around the code
_QR_PIXELS = 8  # of one square


def base() -> tuple[str, str]:
    """The address of the app's first page, without parameters, and a sentence if others cannot open it as it
    stands (else empty). An address that only this machine understands becomes the one that its network
    knows, if there is one."""
    seen = urlsplit(st.context.url or "")
    path = st.get_option("server.baseUrlPath").strip("/")
    root = f"/{path}/" if path else "/"
    if not seen.hostname:
        return root, "This page does not know its own address: put it before the link."
    own = f"{seen.scheme}://{seen.netloc}{root}"
    if seen.hostname not in _ONLY_HERE:
        return own, ""
    network = net_util.get_internal_ip()
    if st.get_option("server.address") in _ONLY_HERE[:3] or network in (None, *_ONLY_HERE):
        return own, (
            f"Nobody else can open this link: {seen.hostname} means each reader's own machine. Start the app "
            "without --server.address localhost, and open it at the Network URL that it prints."
        )
    port = f":{seen.port}" if seen.port else ""
    return f"{seen.scheme}://{network}{port}{root}", (
        f"You opened the app at {seen.hostname}, which others cannot. So the link names this machine as its "
        f"network knows it, {network}. Try it on a phone first."
    )


def draw_link(link: str) -> None:
    """Draw a link with a button that copies it, and its QR code, to be projected: dark on white in both
    themes."""
    st.code(link, language=None, wrap_lines=True)
    st.image(_qr_code(link), width=460, alt="The link as a QR code")


@st.cache_data(max_entries=32, show_spinner=False)
def _qr_code(text: str) -> str:
    """The picture itself, as a data URI: a file that the server keeps could be gone before the browser asks
    for it, since the next rerun of a page drops what it no longer shows."""
    import segno  # not at the top: the first page does without

    code = segno.make(text, error="m", micro=False)
    return code.svg_data_uri(border=_QR_BORDER, dark="#000000", light="#ffffff", unit="px", scale=_QR_PIXELS)
