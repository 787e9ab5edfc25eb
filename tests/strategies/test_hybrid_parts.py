"""The small parts of two minds with one mouth, each alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coda_voice_plugin import BusyError, ConfigError, EngineError, VoiceError, Word
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.config.hybrid import FallbackSettings
from coda_voice_plugin.events import AudioFrame
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Manner, Report, Spoken, SpokenFrames
from coda_voice_plugin.session.mic import FrameQueue
from coda_voice_plugin.speakable import speakable, spoken_text
from coda_voice_plugin.strategies.hybrid import Handover, Injection, Oracle
from coda_voice_plugin.strategies.hybrid.handover import made_ahead
from coda_voice_plugin.strategies.hybrid.health import Health
from coda_voice_plugin.strategies.hybrid.injection import sayable_words
from coda_voice_plugin.strategies.hybrid.opener import Phrases
from coda_voice_plugin.strategies.hybrid.partner import MOST, Partner, Taking
from coda_voice_plugin.strategies.hybrid.ways import Repeat, Way, check, choose
from coda_voice_plugin.testing import config, run_virtual

SEEDS = range(150)


def cut(text: str, dice: Random) -> list[str]:
    """``text`` in pieces of any length."""
    pieces = []
    while text:
        size = dice.choice((1, 1, 2, 3, 5, 9, 40))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


async def flow(pieces: Sequence[Any]) -> AsyncGenerator[Any, None]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


# The opener that the mind writes again.


def without(opened: str, pieces: Sequence[str]) -> str:
    repeat = Repeat(opened)
    return "".join([*(repeat.without(piece) for piece in pieces), repeat.rest()])


def test_a_repeated_opener_is_left_out_however_it_is_cut() -> None:
    for seed in SEEDS:
        dice = Random(seed)
        opener = dice.choice(("Well, let me see.", "Okay.", "Good question."))
        written = dice.choice((opener, opener.upper(), opener.lower(), f" \n{opener}"))
        rest = dice.choice(("It is four.", "Well, it is four.", opener, ""))
        gap = dice.choice(("", " ", "  ")) if rest else ""
        assert without(opener, cut(written + gap + rest, dice)).lstrip() == rest, seed


def test_what_is_no_repetition_is_kept_to_the_letter() -> None:
    for seed in SEEDS:
        dice = Random(seed)
        text = dice.choice(
            ("Well, let me say it.", "Well", "", "It is. Well, let me see.", "Well, let me see"),
        )
        opener = dice.choice(("Well, let me see.", ""))
        assert without(opener, cut(text, dice)) == text, seed


# Who brings the words.


def partner_that(*, says: bool = True, oracle: bool = False) -> Any:
    return SimpleNamespace(can_say=says, hears_oracle=oracle)


@pytest.mark.parametrize(
    ("wanted", "tts", "says", "oracle", "failed", "chosen"),
    [
        ("auto", True, True, False, (), Handover),
        ("auto", True, True, True, (), Oracle),
        ("auto", True, False, False, (), Handover),
        ("auto", False, True, False, (), Injection),
        ("auto", False, False, False, (), None),
        ("auto", True, True, True, (Oracle,), Handover),
        ("auto", True, True, False, (Handover,), Injection),
        ("auto", True, True, False, (Handover, Injection), None),
        ("handover", False, True, True, (), Injection),
        ("injection", True, True, False, (), Injection),
        ("injection", True, False, False, (), Handover),
        ("injection", True, True, False, (Injection,), Handover),
        ("injection", False, False, False, (), None),
        ("oracle", True, True, False, (), Handover),
        ("oracle", False, True, True, (), Oracle),
    ],
)
def test_the_way_that_is_wanted_or_the_next_best(
    wanted: str,
    tts: bool,
    says: bool,
    oracle: bool,
    failed: Sequence[type[Way]],
    chosen: type[Way] | None,
) -> None:
    ways = (Handover, Injection, Oracle)
    partner = partner_that(says=says, oracle=oracle)
    assert choose(ways, wanted, partner, tts=tts, failed=failed) is chosen


def test_a_way_that_nobody_offers_is_refused_by_name() -> None:
    check((Handover, Injection), "auto")
    check((Handover, Injection), "injection")
    with pytest.raises(ConfigError, match="must be auto, handover, injection"):
        check((Handover, Injection), "telepathy")


# Words for Moshi.


def sayable(pieces: Sequence[str]) -> list[tuple[str, str]]:
    async def run() -> list[tuple[str, str]]:
        return [words async for words in sayable_words(flow(pieces), "en")]

    return run_virtual(run())


def test_words_are_said_once_and_in_order_however_they_are_cut() -> None:
    vocabulary = ("the", "sky", "wonderful", "it's", "crocodile", "blue", "I", "a", "Peter’s")
    for seed in SEEDS:
        dice = Random(seed)
        ends = ("", "", "", ",", ".", "?", "!", ";", ":")
        words = [dice.choice(vocabulary) + dice.choice(ends) for _ in range(dice.randint(0, 12))]
        text = dice.choice((" ", "  ", "\n")).join(words)
        found = sayable(cut(text, dice))
        assert "".join(written for _, written in found) == text, seed
        assert " ".join(said for said, _ in found) == spoken_text(speakable(text, "en")), seed


def test_numbers_and_signs_are_lost_or_doubled_by_no_cut() -> None:
    text = "It costs $25.50 or 3.5 km, **by** Dr. Smith at 10:30. See `it` (soon), OK? 5 % off"
    whole = sayable([text])
    for seed in SEEDS:
        found = sayable(cut(text, Random(seed)))
        assert found == whole, seed
        assert "".join(written for _, written in found) == text


def test_a_plain_word_is_said_before_the_next_one_is_written() -> None:
    said: list[str] = []
    seen: list[int] = []

    async def writes() -> AsyncGenerator[str, None]:
        for word in ("Look ", "there ", "now "):
            yield word
            seen.append(len(said))

    async def run() -> None:
        async for words, _ in sayable_words(writes(), "en"):
            said.append(words)

    run_virtual(run())
    assert seen == [1, 2, 3]


# Phrases.


def test_a_statement_is_not_called_a_question() -> None:
    phrases = Phrases(config())
    said = [phrases.opener(text) for text in ("Tell me more.", "I like it", "Whatever.") * 8]
    assert all(said)
    assert not any("question" in phrase.casefold() for phrase in said)
    asked = [phrases.opener(text) for text in ("Is it?", "what is it", "You like it?") * 4]
    assert "Good question." in asked


def test_no_phrase_comes_twice_in_a_row_and_each_has_its_turn() -> None:
    settings = config()
    phrases = Phrases(settings)
    for seed in SEEDS:
        dice = Random(seed)
        said = [phrases.opener(dice.choice(("Is it?", "It is."))) for _ in range(4)]
        assert all(one != other for one, other in pairwise(said)), said
    assert {phrases.opener("why") for _ in range(4)} == set(settings.hybrid.phrases)


def test_another_language_has_no_english_phrases() -> None:
    phrases = Phrases(config(language="de"))
    assert phrases.opener("Warum?") == ""
    assert phrases.second() == ""
    own = Phrases(config(language="de", hybrid={"phrases": ["Moment."]}))
    assert own.opener("Warum?") == "Moment."


def test_the_only_phrase_that_is_for_questions_is_not_said_to_a_statement() -> None:
    phrases = Phrases(config(hybrid={"phrases": ["Good question."]}))
    assert phrases.opener("I see") == ""
    assert phrases.opener("why") == "Good question."


# Sound that is made ahead.


def test_what_is_made_ahead_comes_in_order() -> None:
    async def run() -> list[bytes]:
        sounds = [(bytes([n]), ()) for n in range(5)]
        async with made_ahead(flow(sounds)) as (sound, begun):
            await begun.wait()
            return [pcm async for pcm, _ in sound]

    assert run_virtual(run()) == [bytes([n]) for n in range(5)]


def test_a_failure_is_raised_where_the_sound_is_taken_and_not_before() -> None:
    async def breaks() -> AsyncGenerator[tuple[bytes, tuple[Word, ...]], None]:
        yield b"1", ()
        raise EngineError("voice", "broke.")

    async def run() -> list[bytes]:
        taken: list[bytes] = []

        async def take() -> None:
            async with made_ahead(breaks()) as (sound, begun):
                await begun.wait()
                await asyncio.sleep(1)
                async for pcm, _ in sound:
                    taken.append(pcm)

        with pytest.raises(EngineError, match="broke"):
            await take()
        return taken

    assert run_virtual(run()) == [b"1"]


def test_sound_that_never_comes_is_told_too() -> None:
    async def run() -> None:
        async with made_ahead(flow(())) as (sound, begun):
            await asyncio.wait_for(begun.wait(), 1)
            assert [each async for each in sound] == []

    run_virtual(run())


def test_who_leaves_early_closes_the_source() -> None:
    closed: list[float] = []

    async def endless() -> AsyncGenerator[tuple[bytes, tuple[Word, ...]], None]:
        try:
            while True:
                await asyncio.sleep(0.1)
                yield b"1", ()
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def run() -> None:
        async def waits() -> None:
            async with made_ahead(endless()) as (_, begun):
                await begun.wait()
                await asyncio.sleep(9)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waits(), 0.55)
        assert closed == [pytest.approx(0.55)]
        async with made_ahead(endless()):
            pass
        assert len(closed) <= 2

    run_virtual(run())


# Moshi's side of a call.


class ToldLine(Line):
    """Notes what it is told; gives a frame for each frame that it gets, unless it is ``mute``."""

    can_say = True

    def __init__(self) -> None:
        self.told: list[str] = []
        self.loud: list[bool] = []
        self.mute = False
        self.frames = SpokenFrames()
        self._samples = 0
        self._given = 0

    def push(self, samples: Floats) -> None:
        self.loud.append(bool(np.abs(samples).max(initial=0.0) > 0))
        self._samples += len(samples)
        while not self.mute and self._samples >= (self._given + 1) * FRAME:
            sound = np.zeros(FRAME, np.float32)
            self.frames.put(Spoken(self._given * FRAME, sound))
            self._given += 1

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        return self.frames.frames()

    def say(self, text: str, manner: Manner = "forced") -> None:
        self.told.append(f"say {text}")

    def report(self) -> Report:
        return Report()

    def hush(self) -> None:
        self.told.append("hush")

    def unhush(self) -> None:
        self.told.append("unhush")

    def hold(self, held: bool) -> None:
        self.told.append(f"hold {held}")

    def close(self) -> None:
        self.frames.end()


class Mic(FrameQueue):
    """20 ms frames at Moshi's rate."""

    async def speaks(self, seconds: float) -> None:
        pcm = np.full(RATE // 50, 1_000, "<i2").tobytes()
        for _ in range(round(seconds * 50)):
            self.put(AudioFrame(pcm, RATE))
            await asyncio.sleep(0.02)


async def all_of(taking: Taking) -> None:
    """Take until it fails."""
    while True:
        await taking.next()


Scene = Callable[[Partner, Mic, Health, list[ToldLine]], Awaitable[None]]


def with_partner(scene: Scene, *, busy: int = 0, silent_ms: int = 800) -> list[ToldLine]:
    """Play ``scene`` with a partner of its own; the first ``busy`` attempts find no slot."""
    lines: list[ToldLine] = []
    refuses = [BusyError(1)] * busy

    @asynccontextmanager
    async def open_line() -> AsyncIterator[Line]:
        if refuses:
            raise refuses.pop()
        lines.append(ToldLine())
        yield lines[-1]

    async def look() -> None:
        pass

    async def run() -> None:
        settings = FallbackSettings(silent_ms=silent_ms, strikes=1)
        mic = Mic(50)
        call: Any = SimpleNamespace(mic=mic, config=SimpleNamespace(fallback=settings))
        health = Health(settings)
        health.add("moshi", look)
        partner = Partner(call, open_line, health)
        async with asyncio.TaskGroup() as outer:
            looks = outer.create_task(health.run())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(partner.run())
                tasks.create_task(partner.listen())
                await asyncio.sleep(0.001)
                await scene(partner, mic, health, lines)
                partner.close()
            looks.cancel()
        assert mic.dropped == 0

    run_virtual(run())
    return lines


def test_moshi_is_held_until_it_is_woken() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        await mic.speaks(0.2)
        assert lines[0].told == ["hold True"]
        partner.wake()
        partner.hold()

    (line,) = with_partner(scene)
    assert line.told == ["hold True", "unhush", "hold False", "hold True"]


def test_where_the_microphone_stops_moshi_hears_silence_while_it_is_wanted() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        await mic.speaks(0.2)
        await asyncio.sleep(1)
        assert all(lines[0].loud), "nobody wants its speech: it stands still"
        with partner.take() as taking:
            begin = asyncio.get_running_loop().time()
            for _ in range(12):
                await taking.next()
            took = asyncio.get_running_loop().time() - begin
        assert took == pytest.approx(12 * FRAME_S, abs=3 * FRAME_S), "at the pace of sound"
        assert not any(lines[0].loud[10:])
        assert partner.here

    with_partner(scene)


def test_who_has_hung_up_still_hears_the_last_answer_to_its_end() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        with partner.take() as taking:
            await mic.speaks(0.2)
            mic.close()
            for _ in range(20):
                await asyncio.wait_for(taking.next(), 1)

    with_partner(scene)


def test_a_busy_moshi_is_asked_again_and_is_not_ill() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        assert not partner.here
        with partner.take() as taking, pytest.raises(EngineError, match="no part in this call"):
            await taking.next()
        partner.say("nobody hears this")
        await mic.speaks(3)
        assert health.up("moshi")
        assert partner.here
        assert partner.lines == 1

    (line,) = with_partner(scene, busy=2)
    assert line.told == ["hold True"]


def test_a_line_that_is_lost_is_told_and_opened_again_without_a_greeting() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        await mic.speaks(0.2)
        with partner.take() as taking:
            lines[0].frames.fail(EngineError("moshi", "the model failed."))
            with pytest.raises(EngineError, match="the model failed"):
                await asyncio.wait_for(all_of(taking), 1)
        assert not partner.here
        assert not health.up("moshi")
        await mic.speaks(4)
        assert health.up("moshi")
        assert partner.here

    first, second = with_partner(scene)
    assert first is not second
    assert second.told == ["hush", "hold True"]


def test_moshi_that_is_connected_and_silent_is_not_waited_for() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        await mic.speaks(0.4)
        lines[0].mute = True
        begin = asyncio.get_running_loop().time()
        with partner.take() as taking:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mic.speaks(1.5))
                with pytest.raises(EngineError, match=r"silent for 0\.8 s"):
                    await asyncio.wait_for(all_of(taking), 5)
                took = asyncio.get_running_loop().time() - begin
        assert 0.7 < took < 1.0
        assert not health.up("moshi")

    with_partner(scene)


def test_speech_that_nobody_takes_for_ten_seconds_is_a_failure() -> None:
    async def scene(partner: Partner, mic: Mic, health: Health, lines: list[ToldLine]) -> None:
        with partner.take() as taking:
            await mic.speaks((MOST + 2) * FRAME_S)
            with pytest.raises(VoiceError, match="nobody took its speech"):
                await all_of(taking)

    with_partner(scene)
