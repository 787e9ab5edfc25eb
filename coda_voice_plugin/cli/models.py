"""``coda-voice models``"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .options import Choice, settings_options
from .progress import MB, Bars

if TYPE_CHECKING:
    from ..config import VoiceConfig

SERVER = "ollama"
"""The mind whose models live on a server; found by name, like any guest."""
GB = 1_000 * MB
AT_ONCE_UNKNOWN = (
    "The server does not tell how many answers it writes at once (OLLAMA_NUM_PARALLEL, "
    "1 by default); `coda-voice models measure` finds out."
)
ONE_AT_ONCE = (
    "The second answer waited for the first: conversations at the same time queue. Set "
    "OLLAMA_NUM_PARALLEL=4 on the server (each place takes memory for its own context)."
)

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")


@click.group("models", invoke_without_command=True)
@_json_option
@settings_options
@click.pass_context
def command(ctx: click.Context, choice: Choice, as_json: bool) -> int:
    """List the models: language models of the Ollama server, embedded ones, speech models.

    Without a command: names, sizes, licences, what is loaded, and where it runs; "*" is
    what the settings name. Exit code 1 when the server does not answer (the others are
    listed all the same).
    """
    if ctx.invoked_subcommand is not None:
        if as_json or choice != Choice():
            raise click.UsageError("write the options behind the command.")
        return 0
    from ..errors import EngineError
    from .repositories import known_repositories, show_repositories

    config = choice.start()
    embedded = embedded_models(config)
    speech = known_repositories(config)
    problem = ""
    served: list[Any] = []
    try:
        served = _run(config, lambda library: library.models())
    except EngineError as error:
        problem = str(error)
    if as_json:
        rows = [asdict(each) for each in served]
        found = {
            "server": rows,
            "problem": problem or None,
            "embedded": embedded,
            "repositories": speech,
        }
        click.echo(json.dumps(found, indent=2, default=str))
        return 1 if problem else 0
    show_served(config, served, problem)
    show_embedded(embedded)
    show_repositories(speech)
    return 1 if problem else 0


@command.command("pull")
@click.argument("name", metavar="NAME")
@settings_options
def pull(choice: Choice, name: str) -> None:
    """Fetch a model to the Ollama server."""

    async def follow(library: Any) -> None:
        bars = Bars()
        status = ""
        async with aclosing(library.pull(name)) as steps:
            async for step in steps:
                if step.total:
                    bars(step.status.removeprefix("pulling "), step.done, step.total)
                elif step.status != status:
                    click.echo(f"{name}: {step.status}", err=True)
                status = step.status

    _run(choice.start(), follow)


@command.command("load")
@click.argument("name", metavar="NAME")
@settings_options
def load(choice: Choice, name: str) -> None:
    """Load a model on the Ollama server.

    It stays as long as external_llm.keep_alive says, by default until it is unloaded.
    """

    async def follow(library: Any) -> tuple[float, Any]:
        return await library.load(name), await library.placement(name)

    took, loaded = _run(choice.start(), follow)
    where = f" on {loaded.place}" if loaded else ""
    click.echo(f"{name} is loaded{where} ({took:.1f} s)")
    if loaded and loaded.note:
        click.echo(f"  {loaded.note}.")


@command.command("unload")
@click.argument("name", metavar="NAME")
@settings_options
def unload(choice: Choice, name: str) -> None:
    """Free the memory that a model takes on the Ollama server."""
    _run(choice.start(), lambda library: library.unload(name))
    click.echo(f"{name} is unloaded")


@command.command("use")
@click.argument("name", metavar="NAME")
@settings_options
def use(choice: Choice, name: str) -> None:
    """Have the running voice server think with another model; conversations go on.

    The server is the one at server.host and server.port of the settings.
    """
    config = choice.start()
    answer = asyncio.run(_ask_door(f"http://{config.server.host}:{config.server.port}", name))
    click.echo(f"the voice thinks with {answer} now")


@command.command("measure")
@click.argument("name", metavar="[NAME]", required=False)
@_json_option
@settings_options
def measure(choice: Choice, name: str | None, as_json: bool) -> None:
    """Measure how fast a model of the Ollama server is.

    By the server's own clock. Without NAME: the model that a conversation would use.
    Unload it first to have its load time measured.
    """
    config = choice.start()
    measured = asyncio.run(_measure(config, name))
    if as_json:
        click.echo(json.dumps(asdict(measured), indent=2))
        return
    load_s = "was loaded" if measured.load_s is None else f"{measured.load_s:.1f} s"
    click.echo(f"{measured.model}")
    click.echo(f"  load     {load_s}")
    click.echo(f"  reads    {measured.prompt_per_s:,.0f} tokens a second")
    click.echo(f"  writes   {measured.tokens_per_s:,.1f} tokens a second")
    click.echo(f"  at once  {'two answers or more' if measured.at_once else 'one answer'}")
    if not measured.at_once:
        click.echo(f"  {ONE_AT_ONCE}")


def show_served(config: VoiceConfig, served: list[Any], problem: str) -> None:
    """A line for each model of the server, and what should be known about it."""
    from urllib.parse import urlsplit

    click.echo(f"On {urlsplit(config.external_llm.base_url).netloc.rpartition('@')[2]} (ollama)")
    if problem:
        click.echo(f"  {problem}")
    elif not served:
        click.echo("  no models; `coda-voice models pull qwen3:8b` fetches one")
    wanted = config.external_llm.model
    for model in served:
        star = "*" if wanted in (model.name, model.name.removesuffix(":latest")) else " "
        kind = f"{model.parameters} {model.quantization}".strip()
        state = model.loaded.place if model.loaded else "-"
        can = ", ".join(model.capabilities or ())
        click.echo(
            f"{star} {model.name:<28} {model.size / GB:>6.1f} GB  {kind:<14} {state:<9} {can}"
        )
        if model.loaded and model.loaded.note:
            click.echo(f"    {model.loaded.note}.")
    if served:
        click.echo(f"  {AT_ONCE_UNKNOWN}")


def show_embedded(models: list[dict[str, Any]]) -> None:
    """A line for each model that this process itself can run."""
    click.echo("Embedded (llamacpp)")
    for each in models:
        star = "*" if each["chosen"] else " "
        here = "here" if each["here"] else "-"
        size = f"{each['size'] / GB:.1f} GB"
        click.echo(
            f"{star} {each['name']:<28} {size:>9}  {here:<5} {each['licence']:<11} {each['source']}"
        )


def embedded_models(config: VoiceConfig) -> list[dict[str, Any]]:
    """What is known of each GGUF file in the table of weights."""
    from .. import weights

    return [
        {
            "name": name,
            "size": known.size,
            "here": weights.verified(name, config.models),
            "chosen": name == config.embedded_llm.model,
            "licence": known.licence,
            "source": known.publisher,
        }
        for name, known in weights.KNOWN.items()
        if known.is_gguf
    ]


async def _ask_door(url: str, model: str) -> str:
    """Change the model of the voice server at ``url``; return the mind's new name."""
    from aiohttp import ClientError, ClientSession

    from ..errors import ServerError

    try:
        async with (
            ClientSession() as session,
            session.post(f"{url}/admin/model", json={"model": model}) as response,
        ):
            answer = await response.json(content_type=None)
    except (ClientError, ValueError) as error:
        raise ServerError(
            f"no voice server answers at {url}; start it with `coda-voice serve`, "
            "or name it with --set server.port=N."
        ) from error
    if response.status != 200:
        raise ServerError(str(answer.get("message", answer)))
    return str(answer["llm"])


def _run(config: VoiceConfig, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        async with _library(config) as library:
            return await ask(library)

    return asyncio.run(asked())


async def _measure(config: VoiceConfig, name: str | None) -> Any:
    async with _library(config) as library:
        return await library.measure(name or await _mind(config).probe())


@asynccontextmanager
async def _library(config: VoiceConfig) -> AsyncIterator[Any]:
    """The models of the server; raises UnknownNameError when that mind is disabled."""
    async with _mind(config).library() as library:
        yield library


def _mind(config: VoiceConfig) -> Any:
    from ..plugins import load_plugins

    return load_plugins(config.plugins.disabled).engine("llm", SERVER)(config)
