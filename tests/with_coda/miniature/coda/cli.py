"""``coda run`` and ``coda validate``; the core's own writes in colours."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .core.assistant import CodaAssistant
from .core.config import load_config
from .interfaces.dashboard.server import CodaDashboardServer
from .interfaces.websocket.server import CodaWebSocketServer

config_option = click.option(
    "--config", "-c", type=click.Path(exists=True, path_type=Path), default="configs/default.yaml"
)


async def _start_websocket_dashboard(assistant: CodaAssistant, host: str, port: int) -> None:
    """A second server that nobody is wired to, unless the assistant takes it."""
    server = CodaWebSocketServer(host=host, port=port)
    dashboard = CodaDashboardServer(host=host, port=port + 1)
    taker: Any = assistant
    if hasattr(taker, "set_websocket_server"):
        taker.set_websocket_server(server)
    await server.start()
    await dashboard.start()
    click.echo(f"Dashboard available at http://{host}:{port + 1}")
    taker._dashboard_servers = [server, dashboard]


@click.group()
@click.version_option(version=__version__)
@click.option("--log-level", default="INFO")
@click.option("--no-rich", is_flag=True)
def cli(log_level: str, no_rich: bool) -> None:
    """Coda."""


@cli.command()
@config_option
@click.option("--dashboard", is_flag=True)
@click.option("--host", default="localhost")
@click.option("--port", default=8765, type=int)
def run(config: Path, dashboard: bool, host: str, port: int) -> None:
    """Start the assistant."""

    async def start() -> None:
        try:
            assistant = CodaAssistant(load_config(config))
            if dashboard:
                await _start_websocket_dashboard(assistant, host, port)
            click.echo("Coda is ready! Start speaking...")
            await assistant.run()
        except Exception as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)

    asyncio.run(start())


@cli.command()
@config_option
def validate(config: Path) -> None:
    """Read the settings; what nobody knows is no mistake."""
    load_config(config)
    click.echo("Configuration is valid!")


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
