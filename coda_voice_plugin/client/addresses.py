"""Where a server is: what people write, as the address of its WebSocket."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from ..errors import ServerError

PATH = "/v1/voice"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def socket_address(url: str) -> str:
    """``url`` as a ``ws://`` or ``wss://`` address, with the path of the protocol if it has none.

    ``http://``, ``https://`` and a bare ``host:port`` will do. Raises ServerError.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    try:
        known = parts.scheme in _SCHEMES and parts.hostname is not None and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        known = False
    if not known:
        raise ServerError(
            f"{url[:200]!r} is no address of a server; write it like http://127.0.0.1:8766."
        )
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))
