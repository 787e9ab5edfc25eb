"""Who calls from this very machine: what belongs to its owner is for these callers only."""

from __future__ import annotations

from aiohttp import web

from .origins import is_loopback


def is_from_here(request: web.Request) -> bool:
    """Whether a program or browser on this machine asks, with no proxy in between."""
    direct = not any(name in request.headers for name in ("Forwarded", "X-Forwarded-For"))
    return direct and is_loopback(request.remote or "")
