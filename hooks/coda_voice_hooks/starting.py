"""Starts Coda with a voice, says where it is, and stops it when it is told."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coda_voice_plugin import ServerError, VoiceConfig, VoiceError
from coda_voice_plugin.config import LoadedConfig

from . import _arrival
from .choosing import read_voice
from .core import CodaError, import_core, need_core, why_not
from .settings import settings_of

if TYPE_CHECKING:
    from . import Attachment

    Say = Callable[[str], None]

logger = logging.getLogger(__name__)

SHUTDOWN_S = 30.0
"""After which a Coda that is told to stop is left as it is."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REMEDIES = (
    ("huggingface.co", "set memory.long_term.embedding_model to the folder of a "
     "sentence-transformers model on this machine, or let Coda fetch it once with a connection"),
    ("paging file", "close other programs: memory is full"),
    ("out of memory", "use smaller models, or free memory"),
)  # fmt: skip
"""What to do, by a piece of what the core says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    file: Path
    checkout: Path | None = None
    dashboard: bool = False
    host: str = "localhost"
    port: int = 8765
    """Of the WebSocket; the dashboard beside it has the next one."""
    overrides: tuple[str, ...] = ()
    """``section.key=value`` of the voice's settings."""


class _Told(Exception):
    """A signal came."""


def give_voice(assistant: Any, file: str | None) -> Attachment:
    """What an installed voice does with each assistant; ``file`` is the one it was set up by.

    Raises CodaError: without a voice the core would go on with its own, which blocks it.
    """
    from . import enable

    try:
        return enable(assistant, None if file is None else read_voice(Path(file)))
    except VoiceError as error:
        raise CodaError(f"{error} ({_arrival.OFF}=1 starts Coda without the voice.)") from error


def repairs_off(config: VoiceConfig) -> frozenset[str]:
    """Names of the repairs that must not be made; raises ConfigError as the settings do."""
    from .pages import DASHBOARD_REPAIRS
    from .repairs import IMPORTS, REPAIRS

    settings = settings_of(config)
    if settings.repairs:
        return frozenset(settings.repairs_off)
    core, page = ({each.name for each in REPAIRS}, {each.name for each in DASHBOARD_REPAIRS})
    return frozenset({*IMPORTS, *core, *page})


def start(wish: Wish, say: Say) -> None:
    """Run Coda until SIGINT or SIGTERM; ``say`` is told what a person should know.

    Raises ConfigError or CodaError, with the remedy, when it cannot start.
    """
    voice = read_voice(wish.file, wish.overrides)
    core = need_core(wish.checkout)
    say(f"loading {core} ...")
    _arrival.leave()  # an installed voice would come on top of this one
    import_core(core, repairs_off(voice.config))
    config = read_core_config(wish.file)
    for door in doors(wish, config):
        door.check()
    asyncio.run(_serve(wish, voice, config, say))


def start_logging(*, verbose: bool) -> None:
    """To stderr; Coda speaks from warnings on, unless ``verbose``."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    logging.getLogger("coda").setLevel(logging.INFO if verbose else logging.WARNING)
    for name in ("coda_voice_plugin", "coda_voice_hooks"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def read_core_config(file: Path) -> Any:
    """The core's own reading of its file; raises CodaError with a line for every problem."""
    from pydantic import ValidationError
    from yaml import YAMLError

    try:
        return import_module("coda.core.config").load_config(file)
    except ValidationError as error:
        lines = [
            f"{file}: {'.'.join(map(str, each['loc']))}: {each['msg']}." for each in error.errors()
        ]
        raise CodaError("\n".join(lines)) from error
    except (YAMLError, OSError, ValueError) as error:
        raise CodaError(f"{file} cannot be read: {_line(error)}.") from error
    except (TypeError, AttributeError) as error:  # such as a list where a section should be
        raise CodaError(
            f"{file}: Coda does not understand its sections: {_line(error)}."
        ) from error


@dataclass(frozen=True, slots=True)
class Door:
    """An address that Coda will listen on, and how another is chosen."""

    what: str
    host: str
    port: int
    choose: str

    def check(self) -> None:
        """Raises CodaError when the address cannot be had."""
        from coda_voice_plugin.server import probe

        for host in ("127.0.0.1", self.host) if self.host == "localhost" else (self.host,):
            try:
                probe(host, self.port)
            except ServerError as error:
                why = getattr(error.__cause__, "strerror", None) or error
                raise CodaError(
                    f"{self.what} cannot listen on {self.host}:{self.port}: {why}; stop what does, "
                    f"or choose another with {self.choose}."
                ) from error


def doors(wish: Wish, config: Any) -> Iterator[Door]:
    """What Coda listens on; raises CodaError where two of them are the same."""
    own = config.dashboard
    found = [Door("the dashboard", own.host, own.port, f"dashboard.port in {wish.file}")]
    if config.websocket.enabled:
        own = config.websocket
        found.append(Door("the WebSocket", own.host, own.port, f"websocket.port in {wish.file}"))
    if wish.dashboard:
        found.append(Door("the WebSocket of --dashboard", wish.host, wish.port, "--port"))
        found.append(Door("the page of --dashboard", wish.host, wish.port + 1, "--port"))
    for number, door in enumerate(found):
        for other in found[:number]:
            if door.port == other.port:
                raise CodaError(
                    f"{other.what} and {door.what} both want port {door.port}; choose another with "
                    f"{door.choose} or {other.choose}."
                )
    return iter(found)


async def _serve(wish: Wish, voice: LoadedConfig, config: Any, say: Say) -> None:
    from . import enable

    assistant = import_module("coda.core.assistant").CodaAssistant(config)
    attachment = enable(assistant, voice)
    try:
        async with _until_told():
            await _begin(wish, assistant)
            for address in addresses(wish, assistant, attachment):
                say(address)
            say(attachment.summary())
            say("Ready. Ctrl-C stops Coda.")
    finally:
        say("stopping ...")
        await _stop(assistant)


async def _begin(wish: Wish, assistant: Any) -> None:
    try:
        if wish.dashboard:
            await _dashboard(wish, assistant)
        await assistant.initialize()
        await assistant.start_conversation()
    except VoiceError:
        raise
    except Exception as error:
        raise CodaError(f"Coda did not start: {explained(error)}") from error


def explained(error: BaseException) -> str:
    """What the core raised, in a line, and the remedy where one is known."""
    text = _line(error)
    remedy = next((told for piece, told in _REMEDIES if piece in text.lower()), None)
    return f"{text}; {remedy}." if remedy else f"{type(error).__name__}: {text}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


async def _dashboard(wish: Wish, assistant: Any) -> None:
    """The servers that the core's own `run --dashboard` starts, by its own function."""
    try:
        cli: Any = import_module("coda.cli")
    except ModuleNotFoundError as error:
        if error.name != "coda.cli":
            raise CodaError(f"--dashboard cannot be had: {why_not(error)}") from error
        cli = None
    begin = getattr(cli, "_start_websocket_dashboard", None)
    if begin is None:
        raise CodaError(
            "this version of Coda has no --dashboard; leave the option out, and set "
            "websocket.enabled: true."
        )
    console = getattr(cli, "console", None)
    if console is not None:
        console.quiet = True  # the addresses are told here, once
    await begin(assistant, wish.host, wish.port)


def addresses(wish: Wish, assistant: Any, attachment: Attachment) -> Iterator[str]:
    """What is open, a line each."""
    page = assistant.dashboard_server
    if page is not None:
        yield f"Dashboard: {page.get_dashboard_url()}"
    else:
        yield "Dashboard: not there; the log says why"
    if wish.dashboard:
        yield f"WebSocket: ws://{wish.host}:{wish.port}, page: http://{wish.host}:{wish.port + 1}"
    elif assistant.websocket_server is not None:
        server = assistant.websocket_server
        yield f"WebSocket: ws://{server.host}:{server.port}"
    else:
        yield "WebSocket: none (--dashboard opens one, or websocket.enabled: true)"
    own = attachment.report()["url"]
    if own is not None:
        yield f"Voice page: {own}"


async def _stop(assistant: Any) -> None:
    """End Coda and the servers of its command line; raises CodaError when it does not end."""
    try:
        async with asyncio.timeout(SHUTDOWN_S):
            for server in getattr(assistant, "_dashboard_servers", ()):
                await server.stop()
            await assistant.shutdown()
    except TimeoutError as error:
        raise CodaError(f"Coda did not stop within {SHUTDOWN_S:.0f} s.") from error
    except VoiceError:
        raise
    except Exception as error:
        raise CodaError(f"Coda did not stop cleanly: {explained(error)}") from error


@asynccontextmanager
async def _until_told() -> AsyncIterator[None]:
    """Run the block, then wait for a signal; one that comes sooner cancels the block.

    The second signal finds the operating system's own answer: the process ends at once.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def note() -> None:
        told.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    async def wait() -> None:
        await told.wait()
        raise _Told

    for number in _SIGNALS:
        loop.add_signal_handler(number, note)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait())
            yield
    except* _Told:
        pass
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
