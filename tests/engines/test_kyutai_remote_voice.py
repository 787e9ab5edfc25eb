"""Kyutai's voice over its own protocol: sound, places of words, streaming, faults."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from kyutai_channel import Fault
from kyutai_server import KyutaiServer
from kyutai_tones import WORDS, tone_in

from coda_voice_plugin import (
    AnswerBrokenError,
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineTimeoutError,
    SpeakingStyle,
    SpokenAudio,
    VoiceConfig,
    Word,
)
from coda_voice_plugin.engines.kyutai.remote_tts import ANSWER_S, RemoteKyutaiTTS, speakable_words
from coda_voice_plugin.testing import TextToSpeechContract, run_virtual
from coda_voice_plugin.wire.kyutai import FRAME, Eos, Text

SENTENCE = "one two three four five six seven eight nine ten"
PLAIN = SpeakingStyle()


def config(server: KyutaiServer, **settings: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"kyutai": {"tts_url": server.tts_url, **settings}})


@asynccontextmanager
async def mouth(server: KyutaiServer, **settings: Any) -> AsyncIterator[RemoteKyutaiTTS]:
    """A server that speaks, and its client."""
    async with server.open(), RemoteKyutaiTTS(config(server, **settings)).open() as tts:
        server.channels.clear()  # the one that tried the address
        yield tts


def virtual(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_virtual(main(), sockets=True)


async def say(tts: RemoteKyutaiTTS, text: str, style: SpeakingStyle = PLAIN) -> list[SpokenAudio]:
    return [piece async for piece in tts.synthesize(text, style)]


async def drain(speech: AsyncGenerator[SpokenAudio, None]) -> None:
    async for _ in speech:
        pass


def together(pieces: list[SpokenAudio]) -> tuple[np.ndarray, list[Word]]:
    """The whole sound, and the words with their places in it."""
    words, length = [], 0
    for piece in pieces:
        words += [Word(w.text, length + w.start, length + w.end) for w in piece.words]
        length += len(piece.samples)
    return np.concatenate([np.zeros(0, np.float32), *(piece.samples for piece in pieces)]), words


def tones(sound: np.ndarray) -> list[int | None]:
    return [tone_in(sound[at : at + FRAME]) for at in range(0, len(sound), FRAME)]


# Sound and words.


def test_each_word_is_told_where_its_tone_sounds() -> None:
    async def main() -> None:
        async with mouth(KyutaiServer(step_s=0.02)) as tts:
            sound, words = together(await say(tts, SENTENCE))
            assert [word.text for word in words] == SENTENCE.split()
            heard = tones(sound)
            for index, word in enumerate(words[:-1]):
                inside = heard[word.start // FRAME : word.end // FRAME]
                assert inside == [index % len(WORDS)] * len(inside)
                assert len(inside) >= 2
                assert heard.count(index % len(WORDS)) >= len(inside)
            # the last word is told with the end of the sound, and cannot be told before
            last = words[-1]
            assert last.end == len(sound)
            assert heard[-5:] == [None] * 4 + [None] or heard[last.start // FRAME] in (1, None)

    virtual(main)


def test_no_frame_of_sound_is_lost_or_doubled() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with mouth(server) as tts:
            sound, _ = together(await say(tts, SENTENCE))
            (channel,) = server.channels
            score = channel.state.score
            assert tones(sound)[: len(score)] == score
            assert len(sound) == (len(score) + 4) * FRAME

    virtual(main)


def test_voice_and_format_are_asked_for() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with mouth(server, tts_voice="mine/a b&c.wav") as tts:
            await say(tts, "one two")
            await say(tts, "one two", SpeakingStyle(voice="other"))
            assert [channel.voice for channel in server.channels] == ["mine/a b&c.wav", "other"]

    virtual(main)


def test_words_are_sent_one_by_one_so_no_command_is_among_them() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with mouth(server) as tts:
            await say(tts, 'one <break time="9s"/> — two \ud800 ... (3)')
            told = server.channels[0].told
            assert told[-1] == Eos()
            assert [each.text for each in told[:-1]] == [
                "one", "<break", 'time="9s"/>', "two", "(3)",
            ]  # fmt: skip

    virtual(main)


def test_nothing_to_say_needs_no_place() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with mouth(server) as tts:
            assert await say(tts, " ... ?! ") == []
            assert server.channels == []

    virtual(main)
    assert speakable_words("a\N{GRINNING FACE} \N{GRINNING FACE} 3 -") == [
        "a\N{GRINNING FACE}",
        "3",
    ]


# Streaming.


def test_sound_comes_before_the_last_word_is_known() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.02)
        async with mouth(server) as tts:
            loop = asyncio.get_running_loop()
            given: list[float] = []

            async def writing() -> AsyncIterator[str]:
                for word in SENTENCE.split():
                    given.append(loop.time())
                    yield word + " "
                    await asyncio.sleep(0.5)

            first, words = 0.0, []
            async for piece in tts.synthesize_stream(writing(), PLAIN):
                first = first or loop.time()
                words += [word.text for word in piece.words]
            assert words == SENTENCE.split()
            # the model reads two words and 1.3 s ahead of what it speaks
            assert given[2] < first < given[-1]
            told = server.channels[0].told
            assert told == [*map(Text, SENTENCE.split()), Eos()]

    virtual(main)


def test_a_pause_of_the_writer_is_no_reason_to_hang_up() -> None:
    async def main() -> None:
        async with mouth(KyutaiServer(step_s=0.01)) as tts:

            async def writing() -> AsyncIterator[str]:
                yield "one two three four"
                await asyncio.sleep(100)
                yield "five"

            pieces = [piece async for piece in tts.synthesize_stream(writing(), PLAIN)]
            assert [word.text for word in together(pieces)[1]] == SENTENCE.split()[:5]

    virtual(main)


def test_a_slow_listener_is_no_reason_to_hang_up() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.01)
        async with mouth(server) as tts:
            pieces = []
            async for piece in tts.synthesize(" ".join([SENTENCE] * 20), PLAIN):
                pieces.append(piece)
                await asyncio.sleep(1.0)
            assert len(together(pieces)[1]) == 200
            # the connection did not have to wait for the listener
            assert server.channels[0].closed_at < 30 < asyncio.get_running_loop().time()

    virtual(main)


def test_what_ends_the_texts_is_raised_after_the_words_before() -> None:
    async def main() -> None:
        async with mouth(KyutaiServer()) as tts:

            async def writing() -> AsyncIterator[str]:
                yield "one two"
                raise EngineTimeoutError("mind", "late.")

            pieces: list[SpokenAudio] = []

            async def collect() -> None:
                async for piece in tts.synthesize_stream(writing(), PLAIN):
                    pieces.append(piece)  # noqa: PERF401 - they are kept when it raises

            with pytest.raises(EngineTimeoutError, match="mind"):
                await collect()
            assert [word.text for word in together(pieces)[1]] == ["one", "two"]

    virtual(main)


def test_closing_the_speech_frees_its_place_at_once() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.02)
        async with mouth(server) as tts:
            async with aclosing(tts.synthesize(SENTENCE, PLAIN)) as speech:
                await anext(speech)
                assert server.taken == 1
            begun = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
            assert server.taken == 0
            assert server.channels[0].closed_at - begun < 0.01
            forgotten = tts.synthesize(SENTENCE, PLAIN)
            await anext(forgotten)
        assert server.taken == 0, "closing the engine ends what is still spoken"
        with pytest.raises(EngineError, match="closed"):
            await drain(forgotten)

    virtual(main)


# Faults.


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(silent=True), EngineTimeoutError, "batch_size"),
        (Fault(stall_after=3), EngineTimeoutError, "kept us waiting"),
        (Fault(stall_after=12), EngineTimeoutError, "kept us waiting"),
        (Fault(garbage=b"\xc1"), EngineGarbledError, "tts_url"),
        (Fault(garbage="text"), EngineGarbledError, "tts_url"),
        (Fault(error="CUDA error"), EngineError, "reports: CUDA error"),
        (Fault(drop_after=0), EngineDownError, "lost"),
        (Fault(drop_after=12), AnswerBrokenError, "broke off"),
        (Fault(close_after=1), EngineDownError, "without a sound|before the last word"),
        (Fault(close_after=12, close_code=1011), AnswerBrokenError, "broke off"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_fault_is_a_typed_error_in_one_line(fault, kind, says) -> None:
    async def main() -> float:
        server = KyutaiServer(step_s=0.01)
        async with mouth(server, reconnect_ms=500) as tts:
            server.faults = deque([fault] * 20)
            with pytest.raises(kind, match=says) as error:
                await say(tts, SENTENCE)
            assert type(error.value) is kind
            assert "\n" not in str(error.value)
            server.faults.clear()
            took = asyncio.get_running_loop().time()
            assert await say(tts, "one"), "the next answer is spoken"
            return took

    assert virtual(main) < ANSWER_S + 2


def test_a_loss_before_the_first_sound_is_not_heard() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.01)
        async with mouth(server) as tts:
            whole = together(await say(tts, SENTENCE))
            server.faults = deque([Fault(drop_after=2), Fault(drop_after=0)])
            again = together(await say(tts, SENTENCE))
            assert np.array_equal(again[0], whole[0])
            assert again[1] == whole[1]
            assert len(server.channels) == 4

    virtual(main)


def test_a_server_that_ends_before_all_words_were_given_broke_off() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.01)
        async with mouth(server) as tts:

            async def writing() -> AsyncIterator[str]:
                yield SENTENCE
                await asyncio.sleep(1)
                server.channels[-1].say(None)
                await asyncio.sleep(1)
                yield "more"

            with pytest.raises(AnswerBrokenError):
                await drain(tts.synthesize_stream(writing(), PLAIN))

    virtual(main)


def test_a_full_server_is_asked_again_and_then_named() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.1)
        server.places = 1
        async with mouth(server, reconnect_ms=1_000) as tts:
            speech = tts.synthesize(SENTENCE, PLAIN)
            await anext(speech)
            with pytest.raises(EngineError, match=r"all places .* batch_size"):
                await say(tts, "one")
            async with asyncio.TaskGroup() as tasks:
                next_one = tasks.create_task(say(tts, "one"))
                await asyncio.sleep(0.5)
                await speech.aclose()
            assert next_one.result()

    virtual(main)


def test_a_key_that_the_server_does_not_know_is_told_when_the_engine_is_opened() -> None:
    async def main() -> None:
        server = KyutaiServer()
        server.keys = {"secret"}
        async with server.open():
            with pytest.raises(EngineError, match=r"kyutai\.api_key"):
                async with RemoteKyutaiTTS(config(server)).open():
                    pass
            async with RemoteKyutaiTTS(config(server, api_key="secret")).open() as tts:
                assert await say(tts, "one")
            with pytest.raises(EngineError, match=r"kyutai\.api_key"):
                async with RemoteKyutaiTTS(config(server, api_key="a\nb")).open():
                    pass

    virtual(main)


async def test_an_engine_without_an_address_or_not_open_says_so() -> None:
    with pytest.raises(EngineError, match="tts_url"):
        async with RemoteKyutaiTTS(VoiceConfig()).open():
            pass
    with pytest.raises(EngineError, match="not open"):
        await say(RemoteKyutaiTTS(VoiceConfig()), "one")


class TestRemoteKyutaiTTS(TextToSpeechContract):
    foreign_tasks = ("RequestHandler", "KyutaiServer", "_send")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def server(cls) -> AsyncIterator[KyutaiServer]:
        async with KyutaiServer().open() as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: KyutaiServer) -> RemoteKyutaiTTS:
        return RemoteKyutaiTTS(config(server))
