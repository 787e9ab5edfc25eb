"""Speech as one endless stream of 40 ms pieces."""

from __future__ import annotations

import asyncio

import numpy as np

from coda_voice_plugin import AudioFrame, Word
from coda_voice_plugin.audio.opus import PACKET, RATE
from coda_voice_plugin.events import Caption, Flush, Held, Speech, SpeechEnd
from coda_voice_plugin.server.stream import FULL_S, SpeechStream


def speech(turn: int, start: int, samples: int, value: int = 8_192, rate: int = RATE) -> Speech:
    pcm = np.full(samples, value, "<i2").tobytes()
    return Speech(turn, AudioFrame(pcm, rate, start))


def pieces(stream: SpeechStream, count: int) -> tuple[list[int], list[list[str]]]:
    """Loud samples of the next pieces, and the words that come with each."""
    taken = [stream.next() for _ in range(count)]
    assert all(len(sound) == PACKET for sound, _ in taken)
    return [int(np.count_nonzero(sound)) for sound, _ in taken], [words for _, words in taken]


def test_where_nobody_speaks_there_is_silence() -> None:
    stream = SpeechStream(RATE)
    assert stream.silent
    assert pieces(stream, 3) == ([0, 0, 0], [[], [], []])


def test_speech_is_cut_into_pieces_and_the_last_is_filled_up() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 3_000))
    assert not stream.silent
    assert pieces(stream, 5)[0] == [960, 960, 960, 120, 0]
    assert stream.silent


def test_speech_of_which_little_is_ready_begins_one_piece_later() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 1_920))
    assert pieces(stream, 2)[0] == [0, 960]
    stream.push(speech(1, 1_920, 960))
    assert pieces(stream, 3)[0] == [960, 960, 0]
    stream.push(speech(1, 2_880, 960))
    assert pieces(stream, 2)[0] == [0, 960], "it had run dry"


def test_a_turn_that_is_held_is_silence_until_it_goes_on() -> None:
    stream = SpeechStream(RATE)
    stream.push(Caption(1, (Word("one", 0, 900), Word("two", 2_000, 4_000))))
    stream.push(speech(1, 0, 4_800))
    assert pieces(stream, 2) == ([960, 960], [["one"], []])
    stream.push(Held(1, True))
    assert stream.silent
    assert pieces(stream, 3) == ([0, 0, 0], [[], [], []])
    stream.push(Held(1, False))
    assert not stream.silent
    loud, words = pieces(stream, 4)
    assert (sum(loud), words[0]) == (4_800 - 1_920, ["two"])


def test_a_held_turn_can_be_flushed() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 4_800))
    stream.push(Held(1, True))
    stream.push(Flush(1))
    stream.push(speech(2, 0, 4_800))
    assert sum(pieces(stream, 6)[0]) == 4_800


def test_words_come_with_the_piece_in_which_they_begin() -> None:
    stream = SpeechStream(RATE)
    stream.push(Caption(1, (Word("one", 0, 900), Word("two", 959, 1_500))))
    stream.push(speech(1, 0, 4_800))
    stream.push(Caption(1, (Word("three", 960, 4_800), Word("four", 4_799, 4_800))))
    assert pieces(stream, 5)[1] == [["one", "two"], ["three"], [], [], ["four"]]


def test_words_at_the_very_end_come_when_the_speech_has_ended() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 2_880))
    stream.push(Caption(1, (Word("late", 2_880, 2_880),)))
    assert pieces(stream, 3)[1] == [[], [], []]
    stream.push(SpeechEnd(1, 2_880))
    assert not stream.silent
    assert stream.next()[1] == ["late"]
    assert stream.silent


def test_turns_follow_each_other_and_each_counts_from_its_beginning() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 3_000))
    stream.push(SpeechEnd(1, 3_000))
    stream.push(Caption(2, (Word("next", 0, 100), Word("then", 1_000, 1_100))))
    stream.push(speech(2, 0, 3_000))
    loud, words = pieces(stream, 7)
    assert sum(loud) == 6_000
    assert words == [[], [], [], ["next"], ["then"], [], []]


def test_what_is_flushed_is_gone_and_the_next_turn_is_whole() -> None:
    stream = SpeechStream(RATE)
    stream.push(speech(1, 0, 9_600))
    stream.push(Caption(1, (Word("lost", 5_000, 6_000),)))
    assert pieces(stream, 2)[0] == [960, 960]
    stream.push(Flush(1))
    assert stream.silent
    stream.push(Caption(2, (Word("new", 0, 100),)))
    stream.push(speech(2, 0, 2_880))
    assert pieces(stream, 4) == ([960, 960, 960, 0], [["new"], [], [], []])


def test_another_rate_is_changed_and_places_with_it() -> None:
    stream = SpeechStream(8_000)
    stream.push(speech(1, 0, 1_600, rate=8_000))
    stream.push(Caption(1, (Word("half", 800, 1_600),)))
    stream.push(SpeechEnd(1, 1_600))
    loud, words = pieces(stream, 6)
    assert abs(sum(loud) - 4_800) < 100
    assert words == [[], [], ["half"], [], [], []]


async def test_the_session_waits_while_a_second_of_speech_is_ready() -> None:
    stream = SpeechStream(RATE)
    async with asyncio.timeout(1):
        await stream.room()
        stream.push(speech(1, 0, round(FULL_S * RATE) + 1))
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(stream.room())
            draining = tasks.create_task(stream.drained())
            await asyncio.sleep(0)
            assert not waiting.done()
            stream.next()
            await waiting
            assert not draining.done()
            stream.push(Caption(1, (Word("lost", 0, 1),)))
            stream.push(Flush(1))
            await draining
            assert stream.silent
