"""OpenAI's Realtime API at ``/v1/realtime``, whatever the strategy; ``docs/realtime.md``.

A plugin like anybody's. What it needs is imported with the first call, for this module is
loaded by every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...hookspecs import hookimpl

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/v1/realtime"


async def realtime(request: web.Request) -> web.StreamResponse:
    """Hold one conversation with a client of the Realtime API."""
    from ..clients import DOOR, HOST
    from .socket import RealtimeSocket

    door = request.app[DOOR]
    return await door.serve(RealtimeSocket(request.app[HOST], door), request)


@hookimpl
def register_protocols(register: Callable[[str, Callable[..., object]], None]) -> None:
    register(PATH, realtime)
