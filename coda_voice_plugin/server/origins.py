"""Who may come in: a web page of somebody else may not.

Any page in a browser can open a WebSocket to this machine, or post to it. The
browser names the page in ``Origin``; programs send none.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this very machine."""
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def stranger(
    origin: str | None, called: str, listening_on: str, setting: str = "server.host"
) -> str | None:
    """Why this caller is refused, as a sentence; None when it may come in.

    ``origin`` and ``called`` are the headers Origin and Host, ``listening_on`` is
    the address that the server was told to listen on, by ``setting``.
    """
    called_name = urlsplit(f"//{called}").hostname or ""
    if is_loopback(listening_on) and not is_loopback(called_name):
        # a foreign name that resolves to this machine: DNS rebinding
        return (
            f"this server listens on {listening_on} and does not answer to the name "
            f"{called_name[:80]!r}; set {setting} to serve other names."
        )
    if origin is None:
        return None
    page = urlsplit(origin)
    if page.scheme in ("http", "https") and (
        is_loopback(page.hostname or "") or page.netloc.lower() == called.lower()
    ):
        return None
    return f"pages of {origin[:80]!r} may not use this server; open its own page."


def guard(listening_on: str, setting: str = "server.host") -> Middleware:
    """Refuse strangers with 403 wherever a request could do more than read."""

    @web.middleware
    async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
        acts = request.method not in ("GET", "HEAD") or "upgrade" in request.headers
        if acts:
            try:
                reason = stranger(
                    request.headers.get("Origin"), request.host, listening_on, setting
                )
            except ValueError:
                reason = "the Origin or Host header is not an address."
            if reason:
                raise web.HTTPForbidden(text=reason)
        return await handler(request)

    return refuse_strangers
