"""What one process shares: settings, plugins, opened engines, the store, places."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from . import weights
from .audio import Floats, Silero, SmartTurn
from .config import VoiceConfig, changes, merge_live
from .engine import Engine, LanguageModel, SpeechToText, TextToSpeech
from .errors import BusyError, PluginError, WeightsError
from .plugins import Plugins, load_plugins
from .session.phrases import PhraseCache
from .session.store import Store, default_path, open_store
from .strategy import Need, Strategy
from .threads import ModelThread

if TYPE_CHECKING:
    from .session import Session

_MINDS = {"external_llm": "ollama", "embedded_llm": "llamacpp"}
"""The mind whose model each section of the settings names."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hearing:
    """Models that every call's ear shares; None where the settings switch one off."""

    silero: Silero | None
    smart_turn: SmartTurn | None
    thread: ModelThread
    """Where the acoustic turn model runs."""

    async def turn_probability(self, samples: Floats) -> float | None:
        """Probability that the speech ending here is a whole turn."""
        if self.smart_turn is None:
            return None
        return await self.thread.run(self.smart_turn.probability, samples)


class Host:
    """One running voice: the object that strategies and calls find everything in."""

    def __init__(
        self,
        config: VoiceConfig,
        plugins: Plugins,
        strategy: Strategy,
        engines: dict[str, Engine],
        hearing: Hearing | None,
        store: Store,
    ) -> None:
        self.config = config
        """Settings for calls that begin now."""
        self.plugins = plugins
        self.strategy = strategy
        self.needs = needs_of(type(strategy), config)
        """What the strategy needs with the settings at start."""
        self.store = store
        self.phrases = PhraseCache()
        self.calls = 0
        """Calls that go on now."""
        self.sessions: dict[str, Session] = {}
        """Conversations that go on now, by id."""
        self._engines = engines
        self._hearing = hearing

    @property
    def stt(self) -> SpeechToText:
        return cast("SpeechToText", self._engine("stt"))

    @property
    def tts(self) -> TextToSpeech:
        return cast("TextToSpeech", self._engine("tts"))

    @property
    def llm(self) -> LanguageModel:
        return cast("LanguageModel", self._engine("llm"))

    @property
    def hearing(self) -> Hearing:
        if self._hearing is None:
            raise self._undeclared("turns")
        return self._hearing

    @property
    def capacity(self) -> int:
        """Calls that can go on at once."""
        most = self.config.server.max_sessions
        own = self.strategy.max_calls
        return most if own is None else min(most, own)

    def label(self, kind: str) -> str:
        """Name of the opened engine with its model, or "" when the strategy needs none."""
        engine = self._engines.get(kind)
        return engine.label if engine else ""

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one place while the block runs; raises BusyError when all are taken."""
        if self.calls >= self.capacity:
            raise BusyError(self.capacity)
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    def reload(self, config: VoiceConfig) -> None:
        """Use for new calls what ``config`` changes and can be changed live."""
        self.config = merge_live(self.config, config)

    async def use(self, config: VoiceConfig) -> None:
        """Like :meth:`reload`, and change the mind's model if ``config`` names another.

        Raises EngineError when that model cannot be had; then nothing changes.
        """
        live = changes(self.config, config).live
        for key, model in (
            ("external_llm.model", config.external_llm.model),
            ("embedded_llm.model", config.embedded_llm.model),
        ):
            section = key.partition(".")[0]
            if key in live and model and thinks_by(self.label("llm"), section):
                await self.llm.switch(model)
        self.reload(config)

    def _engine(self, kind: str) -> Engine:
        try:
            return self._engines[kind]
        except KeyError:
            raise self._undeclared(kind) from None

    def _undeclared(self, kind: str) -> PluginError:
        name = self.strategy.name
        return PluginError(f"strategy {name!r} uses {kind} but its `needs` does not list it.")


def needs_of(strategy: type[Strategy], config: VoiceConfig) -> frozenset[Need]:
    """What ``strategy`` needs with these settings; raises PluginError for an unknown need."""
    needs = strategy.needs_for(config)
    unknown = sorted(set(needs) - set(get_args(Need)))
    if unknown:
        raise PluginError(
            f"strategy {strategy.name!r} needs {unknown[0]!r}; a need is one of "
            f"{', '.join(get_args(Need))}."
        )
    return frozenset(needs) | ({"turns"} if "stt" in needs else set())


def thinks_by(label: str, section: str) -> bool:
    """Whether the settings in ``section`` are those of the mind with this label."""
    return label.split()[:1] == [_MINDS[section]]


def make_engines(config: VoiceConfig, plugins: Plugins) -> dict[str, Engine]:
    """The engines that the configured strategy needs, not yet opened.

    Raises UnknownNameError for a strategy or engine that is not installed.
    """
    needs = needs_of(plugins.strategy(config.strategy), config)
    names = {"stt": config.stt, "tts": config.tts, "llm": config.llm}
    return {
        kind: plugins.engine(kind, name)(config) for kind, name in names.items() if kind in needs
    }


async def needed_weights(config: VoiceConfig, plugins: Plugins) -> list[Sequence[str]]:
    """Model files the configuration needs: one item a need, alternatives inside."""
    needs: list[Sequence[str]] = []
    engines = make_engines(config, plugins)
    if "turns" in needs_of(plugins.strategy(config.strategy), config):
        if config.audio.vad_enabled and config.audio.vad == "silero":
            needs.append(("silero-vad",))
        if config.turn.acoustic_hint:
            needs.append(("smart-turn",))
    for engine in engines.values():
        needs.extend(await engine.weights())
    needs.extend(plugins.strategy(config.strategy).weights_for(config))
    return needs


class _FetchCancelled(Exception):
    """Nobody waits for the download any more."""


async def provision(
    config: VoiceConfig, plugins: Plugins, progress: weights.Progress | None = None
) -> list[Path]:
    """Fetch the model files that are missing; raises WeightsError.

    Where a need has alternatives, the next is tried when one cannot be had.
    """
    thread = ModelThread("fetch")
    cancelled = threading.Event()

    def watched(name: str, done: int, total: int) -> None:
        if cancelled.is_set():  # a download runs on its thread: this is how it is left
            raise _FetchCancelled
        if progress is not None:
            progress(name, done, total)

    try:
        paths = [
            await _first_to_be_had(alternatives, config, thread, watched)
            for alternatives in await needed_weights(config, plugins)
        ]
        for alternatives in plugins.strategy(config.strategy).optional_weights_for(config):
            try:
                paths.append(await _first_to_be_had(alternatives, config, thread, watched))
            except WeightsError as error:
                logger.warning("%s goes on without: %s", config.strategy, error)
        return paths
    finally:
        cancelled.set()
        thread.close()


async def _first_to_be_had(
    alternatives: Sequence[str],
    config: VoiceConfig,
    thread: ModelThread,
    progress: weights.Progress | None,
) -> Path:
    failures: list[WeightsError] = []
    for name in alternatives:
        try:
            return await thread.run(weights.fetch, name, config.models, progress)
        except WeightsError as error:
            failures.append(error)
            logger.warning("%s", error)
    raise WeightsError("; ".join(str(error) for error in failures)) from failures[0]


@asynccontextmanager
async def _open_hearing(config: VoiceConfig) -> AsyncIterator[Hearing]:
    thread = ModelThread("turn")
    try:
        silero = smart_turn = None
        if config.audio.vad_enabled and config.audio.vad == "silero":
            silero = await thread.run(
                lambda: Silero(weights.find("silero-vad", config.models)),
            )
        if config.turn.acoustic_hint:
            smart_turn = await thread.run(
                lambda: SmartTurn(weights.find("smart-turn", config.models)),
            )
        yield Hearing(silero, smart_turn, thread)
    finally:
        thread.close()


@asynccontextmanager
async def open_host(
    config: VoiceConfig,
    plugins: Plugins | None = None,
    *,
    progress: weights.Progress | None = None,
) -> AsyncIterator[Host]:
    """Load plugins, engines and strategy; everything is freed when the block ends.

    With ``progress`` missing weights are fetched first; without it they are an
    error that names the command. Raises PluginError, EngineError, WeightsError,
    StoreError, each with the remedy in one line.
    """
    if plugins is None:
        plugins = await asyncio.to_thread(load_plugins, config.plugins.disabled)
    await asyncio.to_thread(plugins.strategy(config.strategy).preflight, config)
    strategy = plugins.strategy(config.strategy)()
    engines = make_engines(config, plugins)
    if progress is not None:
        await provision(config, plugins, progress)
    async with AsyncExitStack() as stack:
        path = Path(config.store.path) if config.store.path else default_path()
        store = await stack.enter_async_context(open_store(path, enabled=config.store.enabled))
        for engine in engines.values():
            await stack.enter_async_context(engine.open())
        hearing = None
        if "turns" in needs_of(type(strategy), config):
            hearing = await stack.enter_async_context(_open_hearing(config))
        host = Host(config, plugins, strategy, engines, hearing, store)
        await stack.enter_async_context(strategy.open(host))
        yield host
