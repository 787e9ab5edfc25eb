"""Close a test's server without a trace of the connection that is just coming in."""

from __future__ import annotations

import asyncio

from aiohttp import web


async def close(runner: web.AppRunner) -> None:
    """Let nobody else in, wait for who is in the door, and clean up.

    When asyncio closes a server between accepting a connection and making its transport, the
    transport is thrown away unclosed (``Server._attach`` asserts that the server is open), and
    the ResourceWarning fails whichever test the garbage collector happens to visit.
    """
    loop = asyncio.get_running_loop()
    for site in runner.sites:
        for door in site._server.sockets if site._server else ():
            loop.remove_reader(door.fileno())
    for _ in range(5):
        await asyncio.sleep(0)
    await runner.cleanup()
