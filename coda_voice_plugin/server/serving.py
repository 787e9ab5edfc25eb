"""Open the door, and close it when the operating system says so."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from ..errors import ServerError, VoiceError
from ..host import Host
from .app import Reload, make_app
from .clients import SHUTDOWN_S

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAX_SIGNALS = 16
"""Signals waiting to be acted on; more are the same wish again and are dropped."""


async def serve(
    host: Host,
    *,
    ready: Callable[[str], None] | None = None,
    reload: Reload | None = None,
) -> None:
    """Serve ``host`` at ``server.host`` and ``server.port`` until SIGINT or SIGTERM.

    ``ready`` is called with the page's address once it answers. SIGHUP calls
    ``reload``. Raises ServerError when the address cannot be had.
    """
    async with _signals() as signals, open_door(host, reload) as url:
        if ready is not None:
            ready(url)
        while (await signals.get()) == signal.SIGHUP:
            await _reload(reload)


@asynccontextmanager
async def open_door(
    host: Host, reload: Reload | None = None, *, port: int | None = None
) -> AsyncIterator[str]:
    """Serve ``host`` at ``server.host`` and ``server.port`` (or ``port``) while the block runs.

    Gives the page's address. For programs that have a loop of their own; signals stay theirs.
    Raises ServerError when the address cannot be had.
    """
    app = make_app(host, reload)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        server = host.config.server
        yield await _open(runner, server.host, server.port if port is None else port)
    finally:
        await runner.cleanup()


def probe(address: str, port: int) -> None:
    """Find out whether one could listen there now; raises ServerError when not."""
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(found)
    except OSError as error:
        raise ServerError(_why(error, address, port)) from error


async def _open(runner: web.AppRunner, address: str, port: int) -> str:
    """Listen; return the address of the page."""
    try:
        await web.TCPSite(runner, address, port).start()
    except OSError as error:
        raise ServerError(_why(error, address, port)) from error
    bound = runner.addresses[0][1]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    return f"http://{name}:{bound}/"


def _why(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65_535 else 8_766
        return (
            f"port {port} on {address} is in use, perhaps by another Coda; stop that one or "
            f"choose another port with `--set server.port={other}`."
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} needs more rights; choose one above 1023 with `--set server.port=8766`."
        )
    reason = error.strerror or str(error)
    return (
        f"cannot listen on {address}:{port}: {reason}; choose an address of this machine with "
        "`--set server.host=127.0.0.1`."
    )


@asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Queue[int]]:
    """The signals that arrive while the block runs."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[int] = asyncio.Queue(MAX_SIGNALS)

    def note(number: int) -> None:
        if not arrived.full():
            arrived.put_nowait(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, note, number)
    try:
        yield arrived
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _reload(reload: Reload | None) -> None:
    if reload is None:
        logger.warning("SIGHUP: this server was started without a way to reload")
        return
    try:
        changed = await reload()
    except VoiceError as error:
        logger.error("SIGHUP: the settings stay as they were: %s", error)
        return
    for when, keys in changed.items():
        logger.info("SIGHUP: %s: %s", when, ", ".join(map(str, keys)) or "nothing")
