"""The one class that an author of a voice strategy subclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .events import MIC_RATE

if TYPE_CHECKING:
    from .config import VoiceConfig
    from .host import Host
    from .session import Call

Need = Literal["stt", "tts", "llm", "turns"]
"""An ear, a mouth, a mind; or "turns": when the user speaks, pauses and is done, without
the words. "stt" brings "turns" with it."""


class Strategy(ABC):
    """A way of holding a spoken conversation.

    One object serves every call of the process; what belongs to one conversation
    lives in the locals of :meth:`converse`. Complete in a few lines::

        class Parrot(Strategy):
            name = "parrot"
            needs = ("stt", "tts")

            async def converse(self, call: Call) -> None:
                async for utterance in call.utterances():
                    async with call.reply(utterance) as reply:
                        await reply.say(f"You said: {utterance.text}")
    """

    name: ClassVar[str]
    """The name that the configuration uses."""

    needs: ClassVar[tuple[Need, ...]] = ()
    """Engines to open before the first call; then ``host.stt``, ``host.tts``, ``host.llm``."""

    mic_rate: int = MIC_RATE
    """Hertz of ``call.mic``: 8000 to 48000, a multiple of 50. Read when a call begins, so
    :meth:`open` may still set it."""

    max_calls: int | None = None
    """Calls served at once; None leaves it to ``server.max_sessions``."""

    @classmethod
    def needs_for(cls, config: VoiceConfig) -> tuple[Need, ...]:
        """What it needs with these settings: the same each time, and asked before it is made."""
        return cls.needs

    @classmethod
    def weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        """Model files to fetch before :meth:`open`: one item a need, alternatives inside.

        Names of ``coda-voice fetch``, or hub repositories (``owner/name``).
        """
        return ()

    @classmethod
    def optional_weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        """Like :meth:`weights_for`, but it can do without them: what cannot be had is logged."""
        return ()

    @classmethod  # noqa: B027 - most run anywhere
    def preflight(cls, config: VoiceConfig) -> None:
        """Raise EngineError if this machine cannot run it with these settings.

        Asked, on a thread, before anything is fetched: nobody wants 16 GB that cannot run.
        """

    @classmethod
    def notes_for(cls, config: VoiceConfig) -> Sequence[str]:
        """What of it will not be had on this machine with these settings, in sentences;
        ``coda-voice check`` shows them."""
        return ()

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        """Load models once per process; free them when the block ends."""
        yield

    @abstractmethod
    async def converse(self, call: Call) -> None:
        """Hold one conversation; return when the microphone ends.

        Cancelled when the caller hangs up. An exception ends this call with a
        typed error and no other.
        """

    def report(self) -> Mapping[str, Any]:
        """Figures for the operator, looked up now; ``/health`` shows them as JSON."""
        return {}
