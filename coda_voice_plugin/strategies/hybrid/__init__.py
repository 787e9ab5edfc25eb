"""Two minds with one mouth: Moshi opens and listens, the language model knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

from coda_voice_plugin import (
    Call,
    EngineError,
    Host,
    Need,
    NoDeviceError,
    Strategy,
    VoiceConfig,
    VoiceError,
    hookimpl,
)
from coda_voice_plugin.weights import KNOWN, checkpoint

from ..moshi import SAMPLE_RATE
from ..ollama.conversation import Conversation as Chain
from ..ollama.kept import KeptAnswers
from ..ollama.rest import Rest
from .answers import Answers
from .conversation import Conversation
from .handover import Handover
from .health import Health
from .injection import Injection
from .minds import Minds, ask_ear, ask_voice
from .oracle import Oracle
from .partner import Partner
from .parts import Parts
from .routing import Routing
from .tally import Tally
from .ways import Way, check

logger = logging.getLogger(__name__)

__all__ = ["Handover", "HybridVoiceProcessor", "Injection", "Oracle", "Way"]


class HybridVoiceProcessor(Strategy):
    """Moshi answers at once, the language model's words follow, and others step in for both."""

    name = "hybrid"
    needs: ClassVar[tuple[Need, ...]] = ("stt", "tts", "llm")
    mic_rate = SAMPLE_RATE
    ways: ClassVar[Sequence[type[Way]]] = (Handover, Injection, Oracle)
    """How the language model's words may reach the ear; ``hybrid.way`` chooses."""

    def __init__(self) -> None:
        self._kept = KeptAnswers()
        self._parts: Parts | None = None

    @classmethod
    def weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        """Moshi's, unless the ladder can do without it."""
        return () if config.moshi.url or _others(config) else ((config.moshi.model_path,),)

    @classmethod
    def optional_weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        """Moshi's, where it could run, and the embedded mind's, if the ladder names it."""
        ladder = config.fallback.ladder
        needs: list[Sequence[str]] = []
        if _uses_moshi(config) and not config.moshi.url and _others(config):
            try:
                require_device(config)
            except EngineError:
                pass  # told when it is opened: nobody wants 16 GB that cannot run
            else:
                needs.append((config.moshi.model_path,))
        embedded = config.embedded_llm
        names = [each for each in (embedded.model, embedded.fallback_model or "") if each in KNOWN]
        if names and "embedded" in ladder:
            needs.append(names)
        return needs

    @classmethod
    def notes_for(cls, config: VoiceConfig) -> Sequence[str]:
        """Why Moshi will not be part of it, if that is known beforehand."""
        if not _uses_moshi(config) or config.moshi.url:
            return ()
        try:
            require_device(config)
            checkpoint(config.moshi.model_path, config.models)
        except VoiceError as error:
            return (f"{cls.name} goes on without Moshi: {error}",)
        return ()

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        check(self.ways, host.config.hybrid.way)
        health = Health(host.config.fallback)
        parts = Parts(host, health, Minds(host, health), Tally(host.config.latency))
        broke: BaseException | None = None
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(health.run(), name="health")
            try:
                await self._open_moshi(parts, stack)
                health.add("stt", lambda: ask_ear(host.stt))
                health.add("tts", lambda: ask_voice(host.tts))
                await stack.enter_async_context(parts.minds.open())
                if parts.engine is not None and not _others(host.config):
                    self.max_calls = parts.engine.capacity
                self._parts = parts
                yield
            except BaseException as error:  # noqa: BLE001 - raised below, out of the group
                broke = error
            finally:
                self._parts = None
                watching.cancel()
        if broke is not None:
            raise broke

    async def converse(self, call: Call) -> None:
        assert self._parts is not None
        parts = self._parts
        partner = Partner(call, lambda: parts.line(call), parts.health)
        async with asyncio.TaskGroup() as line:
            line.create_task(partner.run(), name="line to moshi")
            line.create_task(partner.listen(), name="moshi listens")
            # the answers first: the last of them may still be heard when the user has hung up
            async with asyncio.TaskGroup() as tasks:
                rest = Rest(call, tasks)
                chain = Chain(call, self._kept, rest)
                routing = self.routing(call, parts)
                tasks.create_task(routing.prepare(), name="tools")
                answers = Answers(call, parts, partner, self.ways, chain, routing)
                greeting = tasks.create_task(answers.greet(), name="greeting")
                await Conversation(call, tasks, answers, rest).run()
                greeting.cancel()
            partner.close()

    def routing(self, call: Call, parts: Parts) -> Routing:
        """Who decides about the turns of ``call``."""
        return Routing()

    def report(self) -> Mapping[str, Any]:
        return {} if self._parts is None else self._parts.report()

    async def _open_moshi(self, parts: Parts, stack: AsyncExitStack) -> None:
        """Load Moshi; where that fails the rungs without it carry on, if there are any."""
        config = parts.host.config
        if not _uses_moshi(config):
            return
        if config.moshi.url is not None:
            parts.health.add("moshi", lambda: _look_far(config))
            return
        try:
            require_device(config)
            from coda_voice_plugin.kyutai.moshi import MoshiEngine

            parts.engine = await stack.enter_async_context(MoshiEngine(config).open())
        except VoiceError as error:
            if not _others(config):
                raise
            logger.warning("hybrid goes on without Moshi: %s", error)
            parts.health.missing("moshi", error)
        else:
            parts.health.add("moshi", parts.look_at_moshi)


def require_device(config: VoiceConfig) -> None:
    """Raise EngineError where Moshi cannot keep up: a processor is used only if it is asked for."""
    from coda_voice_plugin.kyutai.checkpoint import device_of

    wanted = config.moshi.device
    if device_of(wanted) == "cpu" and wanted != "cpu":
        raise NoDeviceError(
            "moshi",
            "there is no GPU that PyTorch can use; the full model is too slow for a processor. "
            "Set moshi.device: cpu to try a small one.",
        )


def _uses_moshi(config: VoiceConfig) -> bool:
    return bool({"hybrid", "moshi"} & set(config.fallback.ladder))


def _others(config: VoiceConfig) -> bool:
    """Whether the ladder has a rung without Moshi."""
    return bool({"ollama", "embedded"} & set(config.fallback.ladder))


async def _look_far(config: VoiceConfig) -> None:
    """Raise EngineError while the server at ``moshi.url`` takes no call."""
    from ..moshi.remote import open_remote

    async with open_remote(config):
        pass


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(HybridVoiceProcessor)
