"""A ``VoiceManager`` with the core's full interface, and a voice that speaks behind it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from coda_voice_plugin import EngineDownError, Host, VoiceConfig, VoiceError
from coda_voice_plugin.events import Problem, ServerEvent, Speech, TurnEnded

from . import models
from .choosing import Chosen, choose
from .clips import Caller, answer_clip
from .guests import Finders, Guests
from .line import DEFAULT_RATE
from .running import RunningVoice

NAME = "voice"
"""Of the component, among Coda's."""


class VoiceManager:
    """The voice of one Coda, by the names that its core calls.

    Alone it needs nothing of the core but its voice models: the managers that are set are
    joined to the voice, the others do without. :func:`~coda_voice_hooks.enable` gives it
    the managers of a whole assistant.
    """

    def __init__(self, config: Any = None, *, guests: Guests | None = None) -> None:
        """``config``: settings of ours, of the core's, or a settings file; None: the defaults."""
        self.memory_manager: Any = None
        self.personality_manager: Any = None
        self.tool_manager: Any = None
        self.llm_manager: Any = None
        self._given = config
        self._guests = guests
        self._chosen: Chosen | None = None
        self._running: RunningVoice | None = None
        self._users: dict[str, str | None] = {}
        """Who holds each conversation that was started, by its id."""
        self.on_opened: Callable[[], Awaitable[None]] | None = None
        """Awaited each time the voice has been opened."""

    # The voice itself.

    @property
    def host(self) -> Host:
        """The opened voice; raises EngineDownError with the reason while there is none."""
        if self._running is None or self._running.host is None:
            raise EngineDownError(NAME, f"does not speak: {self.why_not}")
        return self._running.host

    @property
    def running(self) -> RunningVoice | None:
        return self._running

    @property
    def chosen(self) -> Chosen | None:
        """The settings it was opened with."""
        return self._chosen

    @property
    def why_not(self) -> str:
        """Why it does not speak, in a sentence; empty when it does."""
        return "it was not initialized." if self._running is None else self._running.why_not

    @property
    def guests(self) -> Guests:
        """The hooks between Coda and the voice; made when first asked for."""
        if self._guests is None:
            self._guests = Guests(self._own_finders(), self._choose(self._given).hooks)
        return self._guests

    # The interface of the core.

    async def initialize(self, config: Any = None) -> None:
        """Open the voice; once it is open, nothing. Raises VoiceError with the remedy."""
        if self._running is not None and self._running.host is not None:
            return
        chosen = self._choose(self._given if config is None else config)
        running = RunningVoice(
            chosen.config, self.guests.make, door=chosen.hooks.door, port=chosen.port
        )
        self._running = running
        await running.start()
        if self.on_opened is not None:
            await self.on_opened()

    async def shutdown(self) -> None:
        """End all conversations and free the models; :meth:`initialize` opens them again."""
        if self._running is not None:
            await self._running.stop()
        self._users.clear()

    cleanup = shutdown

    def is_healthy(self) -> bool:
        return self._running is not None and self._running.host is not None

    async def health_check(self) -> dict[str, Any]:
        status = "healthy" if self.is_healthy() else "unhealthy"
        return {"status": status, "reason": self.why_not or None}

    async def start_conversation(
        self, user_id: str | None = None, conversation_id: str | None = None
    ) -> str:
        """Begin, or go on with, a conversation; return its id."""
        name = conversation_id or secrets.token_hex(8)
        self._users[name] = user_id or self._users.get(name)
        return name

    async def process_voice_input(self, conversation_id: str, audio_data: bytes) -> Any:
        """Hear one clip (a WAV file, or PCM16 mono at 16 kHz) and answer it: ``VoiceResponse``.

        ``text_content`` is what was answered, ``user_text`` what was heard, ``audio_data`` a
        WAV file. Raises AudioError for what is no sound, EngineError for what failed.
        """
        host, background = self.host, self._open().background
        self._users.setdefault(conversation_id, None)
        began = asyncio.get_running_loop().time()
        answer = await answer_clip(host, background, conversation_id, audio_data)
        if answer.problems and not any(turn.assistant for turn in answer.turns):
            raise VoiceError(answer.problems[0].message)
        took = 1000 * (asyncio.get_running_loop().time() - began)
        return models.response(conversation_id, answer, took, host.strategy.name)

    async def process_voice_stream(
        self, conversation_id: str, audio_stream: AsyncIterator[bytes]
    ) -> AsyncGenerator[Any, None]:
        """Converse over a stream of PCM16 at 16 kHz in its own time: ``VoiceStreamChunk``s.

        The chunks answer to the fields of both generations of the core; the last one is final.
        """
        caller = Caller(self.host, conversation_id, DEFAULT_RATE, live=True)
        task = caller.start(self._open().background, audio_stream)
        chunks = models.Chunks(conversation_id)
        self._users.setdefault(conversation_id, None)
        try:
            while (event := await caller.events.get()) is not None:
                if (chunk := _chunk(chunks, event)) is not None:
                    yield chunk
            if caller.failure is not None:
                raise caller.failure
            yield chunks.make(final=True)
        finally:
            task.cancel()

    async def end_conversation(self, conversation_id: str) -> None:
        """It is over; one that nobody holds is no error."""
        self._users.pop(conversation_id, None)
        session = self.host.sessions.get(conversation_id) if self.is_healthy() else None
        if session is not None:
            session.close()

    async def get_active_conversations(self) -> list[str]:
        open_now = list(self.host.sessions) if self.is_healthy() else []
        return list(dict.fromkeys([*self._users, *open_now]))

    async def get_conversation_state(self, conversation_id: str) -> Any:
        """``ConversationState``, or None for a conversation that is not held."""
        if conversation_id not in await self.get_active_conversations():
            return None
        host = self.host
        session = host.sessions.get(conversation_id)
        return models.state(
            conversation_id,
            self._users.get(conversation_id),
            self.guests.conversation.figures(conversation_id),
            is_active=session is not None or conversation_id in self._users,
            is_speaking=session is not None and session.call.speaking,
            is_listening=session is not None,
            current_mode=models.mode_of(host.strategy.name),
            moshi_active=host.strategy.name in ("moshi", "hybrid", "adaptive"),
            llm_active="llm" in host.needs,
        )

    async def set_memory_manager(self, manager: Any) -> None:
        self.memory_manager = manager

    async def set_personality_manager(self, manager: Any) -> None:
        self.personality_manager = manager

    async def set_tool_manager(self, manager: Any) -> None:
        self.tool_manager = manager

    set_tools_manager = set_tool_manager

    async def set_llm_manager(self, manager: Any) -> None:
        self.llm_manager = manager

    async def get_analytics(self) -> Any:
        """``VoiceAnalytics`` since the voice was opened."""
        conversation = self.guests.conversation
        return models.analytics(conversation.figures(), conversation.conversations)

    async def get_system_status(self) -> dict[str, Any]:
        """What speaks, how well, and why it does not if so."""
        running = self._running
        status: dict[str, Any] = {"healthy": self.is_healthy(), "reason": self.why_not or None}
        if running is None or running.host is None:
            return status
        host = running.host
        return status | {
            "strategy": host.strategy.name,
            "mode": models.mode_of(host.strategy.name),
            "engines": {kind: host.label(kind) or None for kind in ("stt", "tts", "llm")},
            "conversations": list(host.sessions),
            "capacity": host.capacity,
            "instead": running.instead or None,
            "url": running.url,
            "figures": self.guests.conversation.figures().as_data(),
            "report": dict(host.strategy.report()),
        }

    def _choose(self, given: Any) -> Chosen:
        if self._chosen is None:
            if isinstance(given, Chosen):
                self._chosen = given
            elif hasattr(given, "model_dump") and not isinstance(given, VoiceConfig):
                self._chosen = choose(None, SimpleNamespace(voice=given))
            else:
                self._chosen = choose(given)
        return self._chosen

    def _open(self) -> RunningVoice:
        assert self._running is not None, "whoever has a host has asked for it"
        return self._running

    def _own_finders(self) -> Finders:
        return Finders(
            memory=lambda: self.memory_manager,
            personality=lambda: self.personality_manager,
            tools=lambda: self.tool_manager,
            llm=lambda: self.llm_manager,
        )


def _chunk(chunks: models.Chunks, event: ServerEvent) -> Any:
    """What a reader of a stream gets for ``event``, if anything."""
    match event:
        case Speech():
            return chunks.make(event.frame.pcm)
        case TurnEnded() if event.turn.assistant:
            return chunks.make(text=event.turn.assistant)
        case Problem(fatal=True):
            raise VoiceError(event.message)
        case _:
            return None
