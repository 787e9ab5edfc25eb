"""The one class that an author of a voice strategy subclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from .host import Host
    from .session import Call

Need = Literal["stt", "tts", "llm"]


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

    max_calls: int | None = None
    """Calls served at once; None leaves it to ``server.max_sessions``."""

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
