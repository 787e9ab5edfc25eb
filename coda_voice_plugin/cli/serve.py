"""``coda-voice serve``"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .logs import start_logging
from .options import Choice, settings_options
from .progress import Bars

if TYPE_CHECKING:
    from ..host import Host


@click.command("serve")
@settings_options
def command(choice: Choice) -> None:
    """Open the page and the WebSocket for programs, and print their address.

    Missing model files are fetched first. Stop it with Ctrl-C or SIGTERM. SIGHUP,
    or `curl -X POST http://127.0.0.1:8766/admin/reload`, reads the settings again.
    """
    asyncio.run(serve(choice))


async def serve(choice: Choice) -> None:
    """Load everything, serve until a signal, free everything."""
    from ..host import open_host
    from ..server import probe
    from ..server import serve as open_door

    config = choice.start()
    probe(config.server.host, config.server.port)  # better known before the models are loaded
    click.echo(f"loading {config.strategy} ...", err=True)
    async with open_host(config, progress=Bars()) as host:
        names = filter(None, (host.label(kind) for kind in ("stt", "llm", "tts")))
        click.echo(f"loaded {', '.join(names) or config.strategy}", err=True)

        async def reload() -> Mapping[str, Any]:
            return await reread(choice, host)

        await open_door(host, ready=say_ready, reload=reload)


def say_ready(url: str) -> None:
    """The line that a person and a script wait for."""
    click.echo(f"Ready: {url}")


async def reread(choice: Choice, host: Host) -> Mapping[str, Any]:
    """Read the settings again, as at the start; tell which keys are in force now.

    Raises ConfigError, and then nothing changes.
    """
    from ..config import changes

    loaded = await asyncio.to_thread(choice.load)
    found = changes(host.config, loaded.config)
    await host.use(loaded.config)
    start_logging(host.config, verbose=choice.verbose)
    return {"live": list(found.live), "restart": list(found.restart)}
