"""The protocol of Moshi's own clients at ``/api/chat``, whatever the strategy.

A plugin like anybody's; it finds the host in ``request.app[HOST]``. What it needs is
imported with the first call, for this module is loaded by every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..hookspecs import hookimpl

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/api/chat"


async def chat(request: web.Request) -> web.StreamResponse:
    """Hold one conversation with a client of Moshi."""
    from .chat import ChatSocket
    from .clients import DOOR, HOST

    door = request.app[DOOR]
    return await door.serve(ChatSocket(request.app[HOST], door), request)


@hookimpl
def register_protocols(register: Callable[[str, Callable[..., object]], None]) -> None:
    register(PATH, chat)
