"""Who hears of a conversation: a server may say so, else everybody does."""

from __future__ import annotations

import asyncio
from typing import Any


def listeners(server: Any, session_id: str | None) -> list[str] | None:
    """Ids of the clients that may hear of a session; None: all of them.

    ``server.audience_of(session_id) -> list[str] | None`` decides where the server has it.
    """
    choose = getattr(server, "audience_of", None)
    if choose is None:
        return None
    chosen = choose(session_id)
    return None if chosen is None else list(chosen)


async def tell(server: Any, message: dict[str, Any], session_id: str | None = None) -> None:
    """Send a message of any shape to everybody who may hear of the session."""
    chosen = listeners(server, session_id)
    everybody = dict(server.clients)
    async with asyncio.TaskGroup() as sending:
        for client, connection in everybody.items():
            if chosen is None or client in chosen:
                sending.create_task(server._send_to_client(connection, message))


async def tell_event(
    server: Any, kind: Any, fields: dict[str, Any], session_id: str | None = None
) -> None:
    """Send an event of the server's catalogue to everybody who may hear of the session."""
    chosen = listeners(server, session_id)
    if chosen is None:
        await server.broadcast_event(kind, fields, session_id=session_id)
        return
    async with asyncio.TaskGroup() as sending:
        for client in chosen:
            if client in server.clients:
                sending.create_task(
                    server.send_to_client(client, kind, fields, session_id=session_id)
                )
