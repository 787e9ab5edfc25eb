"""Kyutai's recogniser over its own protocol: every sample and every word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from kyutai_ear import ALL, at_24k, config, ear, live, loudness, spoken, virtual
from kyutai_server import KyutaiServer
from kyutai_tones import WORDS

from coda_voice_plugin import MIC_RATE
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.engines.kyutai.remote_stt import RemoteKyutaiSTT
from coda_voice_plugin.testing import SpeechToTextContract
from coda_voice_plugin.wire.kyutai import FRAME, Audio, Marker

# Words and sound.


def test_words_come_while_the_user_speaks_and_the_last_ones_soon_after() -> None:
    async def main() -> None:
        async with ear(KyutaiServer(step_s=0.02)) as listen:
            recognition = listen()
            await live(recognition, spoken(*range(8)))
            caption = await recognition.text(final=False)
            begun = asyncio.get_running_loop().time()
            assert await recognition.text(final=True) == ALL
            took = asyncio.get_running_loop().time() - begun
            # its delay of 0.48 s of sound, at the speed of the server
            assert 0.12 <= took <= 0.3
            assert ALL.startswith(caption)
            assert len(caption.split()) >= 6

    virtual(main)


def test_words_have_their_places_in_the_users_sound() -> None:
    async def main() -> None:
        async with ear(KyutaiServer()) as listen:
            recognition = listen()
            for pause in range(2):  # what we add at a pause must not move what follows
                recognition.accept(spoken(3 * pause, 3 * pause + 1))
                await recognition.text(final=True)
            second = len(spoken(0, 1))
            starts = [2560, 2560 + 7680, second + 2560, second + 2560 + 7680]
            assert [word.text for word in recognition.words] == ["red", "green", "white", "black"]
            for word, start in zip(recognition.words, starts, strict=True):
                assert abs(word.start - start) <= 1280, "within a frame"
                assert abs(word.end - start - 5120) <= 1280
                assert word.start < word.end

    virtual(main)


@pytest.mark.parametrize("step", [1, 333, 5_000, 10**6])
def test_no_sample_is_lost_or_doubled(step: int) -> None:
    sound = spoken(1, 2)[: 15_000 if step > 1 else 2_000]

    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            for first in range(0, len(sound), step):
                recognition.accept(sound[first : first + step])
            await recognition.text(final=True)
            (channel,) = server.channels
            expected = at_24k(sound)
            assert len(expected) == round(len(sound) * 1.5)
            assert np.array_equal(channel.sound[: len(expected)], expected)
            assert not channel.sound[len(expected) :].any()
            sizes = {len(told.pcm) for told in channel.told if isinstance(told, Audio)}
            assert sizes == {FRAME}

    virtual(main)


def test_sound_after_a_pause_follows_it_without_a_gap() -> None:
    first, second = spoken(4), spoken(5)[:7_001]

    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            recognition.accept(first)
            assert await recognition.text(final=True) == "black"
            recognition.accept(second)
            assert await recognition.text(final=True) == "black yellow"
            assert await recognition.text(final=True) == "black yellow"
            (channel,) = server.channels
            both = np.concatenate([at_24k(first), at_24k(second)])
            assert np.abs(loudness(channel)).sum() == pytest.approx(np.abs(both).sum(), rel=1e-5)
            marks = [told for told in channel.told if isinstance(told, Marker)]
            assert len(marks) == 2, "nothing new was said before the third question"

    virtual(main)


def test_strange_numbers_are_not_sent() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            recognition.accept(np.full(8_000, np.nan, np.float32))
            assert await recognition.text(final=True) == ""
            assert not server.channels[0].sound.any()

    virtual(main)


@pytest.mark.parametrize("tells_steps", [True, False])
@pytest.mark.parametrize("delay", [1, 6, 32])
def test_any_model_is_flushed_without_knowing_its_delay(delay: int, tells_steps: bool) -> None:
    async def main() -> float:
        server = KyutaiServer(step_s=0.02)
        server.delay, server.tells_steps = delay, tells_steps
        async with ear(server) as listen:
            recognition = listen()
            await live(recognition, spoken(0, 1, 2))
            begun = asyncio.get_running_loop().time()
            assert await recognition.text(final=True) == "red green blue"
            assert (recognition.turn_probability is None) is not tells_steps
            return asyncio.get_running_loop().time() - begun

    took = virtual(main)
    assert took < 0.02 * (delay + 8) + 0.05


def test_a_first_word_is_flushed_before_it_is_known_whether_steps_are_told() -> None:
    async def main() -> float:
        server = KyutaiServer(step_s=0.02)
        server.delay, server.tells_steps = 32, False
        async with ear(server) as listen:
            recognition = listen()
            await live(recognition, spoken(6))
            begun = asyncio.get_running_loop().time()
            assert await recognition.text(final=True) == "purple"
            return asyncio.get_running_loop().time() - begun

    assert virtual(main) < 1.2


@pytest.mark.parametrize(("delay", "tells_steps"), [(6, True), (32, False)])
def test_a_busy_server_does_not_answer_a_marker_before_the_last_word(delay, tells_steps) -> None:
    async def main() -> list[str]:
        server = KyutaiServer(step_s=0.005)
        server.delay, server.tells_steps = delay, tells_steps
        async with ear(server) as listen:

            async def user(shift: int) -> str:
                recognition = listen()
                await asyncio.sleep(0.013 * shift)
                sound = spoken(shift % 8, (shift + 3) % 8, gap_s=0.08)
                # ends within its last word
                await live(recognition, sound[: -1280 - 640])
                text = await recognition.text(final=True)
                recognition.close()
                return text

            return await asyncio.gather(*(user(shift) for shift in range(8)))

    for shift, text in enumerate(virtual(main)):
        assert text == f"{WORDS[shift % 8]} {WORDS[(shift + 3) % 8]}"


def test_the_pause_is_judged_by_the_users_silence_and_not_by_ours() -> None:
    async def main() -> None:
        async with ear(KyutaiServer()) as listen:
            recognition = listen()
            assert recognition.turn_probability is None
            recognition.accept(spoken(0, gap_s=0.0))
            await recognition.text(final=True)
            assert recognition.turn_probability == 0.0
            recognition.accept(np.zeros(MIC_RATE, np.float32))
            await recognition.text(final=True)
            assert recognition.turn_probability == 1.0

    virtual(main)


# Places at the server.


def test_a_place_is_held_only_while_somebody_speaks() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            await asyncio.sleep(1)
            assert await recognition.text(final=True) == ""
            assert server.channels == []
            recognition.accept(spoken(0))
            await recognition.text(final=True)
            assert server.taken == 1
            recognition.close()
            await asyncio.sleep(0.01)
            assert server.taken == 0
            open_at_the_end = listen()
            open_at_the_end.accept(spoken(0))
            await asyncio.sleep(0.01)
            assert server.taken == 1
        assert server.taken == 0

    virtual(main)


def test_a_long_silence_of_the_client_is_no_reason_to_hang_up() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            recognition.accept(spoken(0))
            await asyncio.sleep(90)  # pings are answered meanwhile
            recognition.accept(spoken(1))
            assert await recognition.text(final=True) == "red green"
            assert len(server.channels) == 1

    virtual(main)


def test_the_handshake_passes_while_sound_is_buffered() -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.01)
        async with ear(server) as listen:
            server.late_s = 0.4
            recognition = listen()
            await live(recognition, spoken(0, 1, 2))
            begun = asyncio.get_running_loop().time()
            assert await recognition.text(final=True) == "red green blue"
            assert asyncio.get_running_loop().time() - begun < 0.2

    virtual(main)


class TestRemoteKyutaiSTT(SpeechToTextContract):
    foreign_tasks = ("RequestHandler", "KyutaiServer", "_send")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def server(cls) -> AsyncIterator[KyutaiServer]:
        async with KyutaiServer().open() as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, server: KyutaiServer) -> RemoteKyutaiSTT:
        return RemoteKyutaiSTT(config(server))

    @pytest.fixture(scope="class")
    @classmethod
    def speech(cls) -> list[tuple[str, Floats]]:
        return [("red green blue", spoken(0, 1, 2)), ("white black orange", spoken(3, 4, 7))]
