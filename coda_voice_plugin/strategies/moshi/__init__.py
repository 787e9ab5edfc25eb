"""Moshi: hears and speaks at the same time, without a language model or a voice beside it.

Its text stream holds only its own words; what the user says is written down by the
ear, where one is asked for (``moshi.transcribe``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from coda_voice_plugin import Call, EngineError, Host, Need, Strategy, VoiceConfig, hookimpl

if TYPE_CHECKING:
    from coda_voice_plugin.kyutai.line import Line
    from coda_voice_plugin.kyutai.moshi import MoshiEngine

SAMPLE_RATE = 24_000
"""Hertz of what Moshi hears and says."""


class MoshiVoiceProcessor(Strategy):
    """Full-duplex conversation, every call in a slot of one batch."""

    name = "moshi"
    mic_rate = SAMPLE_RATE

    def __init__(self) -> None:
        self._engine: MoshiEngine | None = None

    @classmethod
    def needs_for(cls, config: VoiceConfig) -> tuple[Need, ...]:
        settings = config.moshi
        if settings.transcribe:
            return ("stt",)
        watched = settings.gate != "off" or settings.barge_in == "voice"
        return ("turns",) if watched else ()

    @classmethod
    def weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        return () if config.moshi.url is not None else ((config.moshi.model_path,),)

    @classmethod
    def preflight(cls, config: VoiceConfig) -> None:
        if config.moshi.url is None:
            from coda_voice_plugin.kyutai.checkpoint import device_of

            device_of(config.moshi.device)

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        settings = host.config.moshi
        if settings.url is not None:
            if settings.role_prompt or settings.voice_prompt:
                raise EngineError(
                    "moshi",
                    "moshi.role_prompt and moshi.voice_prompt are for a model that runs here; "
                    "tell them to the server at moshi.url, or leave moshi.url away.",
                )
            yield  # the model is the other server's; each call opens its own connection
            return
        from coda_voice_plugin.kyutai.moshi import MoshiEngine

        async with MoshiEngine(host.config).open() as self._engine:
            self.max_calls = self._engine.capacity
            yield

    async def converse(self, call: Call) -> None:
        from .conversation import Conversation

        call.barge_in = call.config.moshi.barge_in == "voice"
        call.can_hold = False  # its sound is live
        async with self._line(call) as line:
            await Conversation(call, line).run()

    def report(self) -> Mapping[str, Any]:
        return {} if self._engine is None else self._engine.report()

    def _line(self, call: Call) -> AbstractAsyncContextManager[Line]:
        if self._engine is not None:
            return self._engine.line(call.config.moshi)
        from .remote import open_remote

        return open_remote(call.config)


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(MoshiVoiceProcessor)
