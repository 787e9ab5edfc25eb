"""A suite is worth what it notices: engines and strategies with one fault each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from coda_voice_plugin import (
    Call,
    ChatOptions,
    LanguageModel,
    Message,
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    Strategy,
    TextToSpeech,
    Tool,
    ToolCall,
    VoiceConfig,
    Word,
)
from coda_voice_plugin.testing import (
    LanguageModelContract,
    SpeechToTextContract,
    StrategyContract,
    TextToSpeechContract,
    World,
)

CONFIG = VoiceConfig()


class QuickMinds(LanguageModelContract):
    within_s = 0.2

    async def use(self, engine: LanguageModel) -> str:
        return "used"


class QuickMouths(TextToSpeechContract):
    within_s = 0.2


class Mind(LanguageModel):
    name = "faulty"
    pieces: Sequence[Any] = ("Good ", "morning.")

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        for piece in self.pieces:
            yield piece
            await asyncio.sleep(0.01)


class LeavesAThread(Mind):
    async def chat(self, *args: Any, **more: Any) -> AsyncGenerator[str | ToolCall, None]:
        stop = threading.Event()
        threading.Thread(target=stop.wait, args=(1.0,), name="model", daemon=True).start()
        yield "Good"
        await asyncio.sleep(30)


class LeavesATask(Mind):
    tasks: ClassVar[set[Any]] = set()

    async def chat(self, *args: Any, **more: Any) -> AsyncGenerator[str | ToolCall, None]:
        self.tasks.add(asyncio.get_running_loop().create_task(asyncio.sleep(1.0)))
        yield "Good"
        await asyncio.sleep(30)


class RaisesWhatItLikes(Mind):
    async def chat(self, *args: Any, **more: Any) -> AsyncGenerator[str | ToolCall, None]:
        raise KeyError("choices")
        yield ""


async def test_a_mind_that_leaves_a_thread_or_a_task_is_noticed() -> None:
    for mind, left in ((LeavesAThread(CONFIG), "thread model"), (LeavesATask(CONFIG), "task")):
        with pytest.raises(AssertionError, match=left):
            await QuickMinds().test_closing_an_answer_stops_the_model(mind)


async def test_a_mind_with_empty_pieces_is_noticed() -> None:
    mind = Mind(CONFIG)
    mind.pieces = ("Good ", "", "morning.")
    with pytest.raises(AssertionError, match="empty"):
        await QuickMinds().test_an_answer_comes_in_pieces(mind)


async def test_a_mind_that_answers_in_one_piece_is_noticed() -> None:
    mind = Mind(CONFIG)
    mind.pieces = ("Good morning.",)
    with pytest.raises(AssertionError):
        await QuickMinds().test_an_answer_comes_in_pieces(mind)


async def test_a_mind_that_ignores_the_limit_is_noticed() -> None:
    mind = Mind(CONFIG)
    mind.pieces = ("word ",) * 9
    with pytest.raises(AssertionError):
        await QuickMinds().test_an_answer_is_as_long_as_it_may_be(mind)


async def test_an_untyped_error_of_a_mind_is_noticed() -> None:
    with pytest.raises(KeyError):
        await QuickMinds().test_strange_words_are_answered_or_refused(RaisesWhatItLikes(CONFIG), "")


class Mouth(TextToSpeech):
    name = "faulty"

    def __init__(self, piece: SpokenAudio) -> None:
        super().__init__(CONFIG)
        self.piece = piece

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        yield self.piece


def silence(samples: int = 24_000, **more: Any) -> SpokenAudio:
    return SpokenAudio(np.zeros(samples, np.float32), **more)


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        (silence(), "cannot be heard"),
        (SpokenAudio(np.full((24_000, 2), 0.1, np.float32)), "mono"),
        (SpokenAudio(np.full(24_000, 3.0, np.float32)), "full scale"),
        (SpokenAudio(np.full(24_000, 0.1)), "float32"),
        (SpokenAudio(np.full(24_000 * 60, 0.1, np.float32)), "sample_rate"),
        (silence(100, words=(Word("late", 90, 110),)), "outside"),
        (silence(100, words=(Word("b", 50, 60), Word("a", 10, 20))), "out of order"),
        (silence(0), "empty"),
    ],
)
async def test_a_mouth_with_a_fault_is_noticed(piece: SpokenAudio, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        await QuickMouths().test_a_sentence_sounds(Mouth(piece))


async def test_a_mouth_that_speaks_dots_is_noticed() -> None:
    loud = SpokenAudio(np.full(2_000, 0.1, np.float32))
    with pytest.raises(AssertionError):
        await QuickMouths().test_what_has_no_words_is_silence(Mouth(loud), "...")


class Dreamer(SpeechToText, Recognition):
    """Hears the same words in everything."""

    name = "dreamer"

    def listen(self) -> Recognition:
        return self

    def accept(self, samples: object) -> None:
        pass

    async def text(self, *, final: bool) -> str:
        return "Thank you."


async def test_an_ear_that_invents_words_is_noticed() -> None:
    ear = Dreamer(CONFIG)
    with pytest.raises(AssertionError):
        await SpeechToTextContract().test_no_words_are_invented(ear, 0.0)
    speech = [("go forward ten meters", np.zeros(16_000, np.float32))]
    with pytest.raises(AssertionError, match="go forward"):
        await SpeechToTextContract().test_speech_is_understood(ear, speech)


class Deaf(Strategy):
    """Does not listen while it speaks, answers twice, or never ends."""

    name = "deaf"
    needs = ("stt", "tts")
    fault = "twice"

    async def converse(self, call: Call) -> None:
        async for utterance in call.utterances():
            for _ in range(2 if self.fault == "twice" else 1):
                async with call.reply(utterance) as reply:
                    await reply.say("Yes." if self.fault == "twice" else "")
        if self.fault == "endless":
            await asyncio.Event().wait()


def test_a_strategy_that_answers_twice_is_noticed() -> None:
    with pytest.raises(ValueError, match="too many values"):
        StrategyContract().test_a_question_is_answered(World(Deaf()))


def test_a_strategy_that_says_nothing_is_noticed() -> None:
    strategy = Deaf()
    strategy.fault = "silent"
    with pytest.raises(AssertionError):
        StrategyContract().test_a_question_is_answered(World(strategy))


def test_a_strategy_that_never_ends_is_noticed() -> None:
    strategy = Deaf()
    strategy.fault = "endless"
    with pytest.raises(RuntimeError, match="deadlock"):
        StrategyContract().test_it_ends_when_the_user_says_nothing_and_hangs_up(World(strategy))
