"""Hear, think with any local language model, speak.

The mind begins to think when the user's words seem settled, and is heard only when
the turn is confirmed. If the user goes on speaking, the thought is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coda_voice_plugin import (
    Call,
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Strategy,
    Transcript,
    Utterance,
    hookimpl,
)

from .conversation import Conversation
from .kept import KeptAnswers
from .reading import Reading
from .rest import Rest
from .thoughts import Thoughts


class OllamaStrategy(Strategy):
    """Recogniser, language model and voice, one after the other, overlapping."""

    name = "ollama"
    needs = ("stt", "tts", "llm")

    def __init__(self) -> None:
        self._kept = KeptAnswers()

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            rest = Rest(call, tasks)
            reading = Reading(call, tasks)
            reading.begin("Hello.")
            conversation = Conversation(call, self._kept, rest)
            thoughts = Thoughts(call, tasks, conversation.answer)
            async for heard in call.hear():
                match heard:
                    case SpeechStarted():
                        rest.user_speaks()
                    case Transcript(text):
                        thoughts.partial(text)
                        reading.stop() if thoughts.busy else reading.begin(text)
                    case Pause(text):
                        reading.stop()
                        thoughts.pause(text)
                    case Resumed():
                        thoughts.drop()
                    case SpeechEnded():
                        rest.user_is_silent()
                    case Utterance():
                        rest.stop()
                        reading.stop()
                        await thoughts.confirm(heard)
            rest.close()
            reading.stop()
            thoughts.drop()


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(OllamaStrategy)
