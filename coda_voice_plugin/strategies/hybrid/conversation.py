"""One call with two minds: what the user does, and what follows from it."""

from __future__ import annotations

import asyncio

from coda_voice_plugin import (
    Call,
    Misheard,
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    Utterance,
    VoiceError,
)

from ..ollama.reading import Reading
from ..ollama.rest import Rest
from ..ollama.thoughts import Thoughts
from .answers import Answers


class Conversation:
    """Hears, lets the answer begin early, and lets it be heard when the turn is confirmed."""

    def __init__(self, call: Call, tasks: asyncio.TaskGroup, answers: Answers, rest: Rest) -> None:
        self._call = call
        self._tasks = tasks
        self._answers = answers
        self._rest = rest
        self._reading = Reading(call, tasks)
        self._thoughts = Thoughts(
            call, tasks, answers.answer, on_partials=call.config.hybrid.predictive
        )
        self._lost = Lost(tasks, answers)

    async def run(self) -> None:
        """Talk until the user hangs up."""
        call, thoughts, reading = self._call, self._thoughts, self._reading
        reading.begin("Hello.")
        async for heard in call.hear():
            match heard:
                case SpeechStarted():
                    self._rest.user_speaks()
                    self._answers.resumed()
                    self._lost.begins()
                case Transcript(text):
                    thoughts.partial(text)
                    reading.stop() if thoughts.busy else reading.begin(text)
                case Pause(text):
                    reading.stop()
                    thoughts.pause(text)
                    self._answers.paused()
                case Resumed():
                    thoughts.drop()
                    self._answers.resumed()
                case SpeechEnded():
                    self._rest.user_is_silent()
                    self._lost.ends()
                case Misheard(error):
                    thoughts.drop()
                    self._lost.words(error)
                case Utterance():
                    self._rest.stop()
                    reading.stop()
                    self._answers.released(await thoughts.confirm(heard))
        self._rest.close()
        reading.stop()
        thoughts.drop()


class Lost:
    """Turns whose words the ear has lost: Moshi has heard them, and answers when they are over."""

    def __init__(self, tasks: asyncio.TaskGroup, answers: Answers) -> None:
        self._tasks = tasks
        self._answers = answers
        self._speaking = False
        self._error: VoiceError | None = None

    def begins(self) -> None:
        """The user speaks."""
        self._speaking, self._error = True, None

    def words(self, error: VoiceError) -> None:
        """The ear has failed; perhaps the user speaks on."""
        if self._speaking:
            self._error = error
        else:
            self._answer(error)

    def ends(self) -> None:
        """The user's turn is over."""
        self._speaking = False
        if self._error is not None:
            self._answer(self._error)

    def _answer(self, error: VoiceError) -> None:
        self._error = None
        self._tasks.create_task(self._answers.without_words(error), name="without words")
