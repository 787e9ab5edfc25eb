"""What the parts of a call do when Moshi is silent, slow, cut off, or says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hybrid_scene import Moshi, asking, play

from coda_voice_plugin import EngineDownError, EngineTimeoutError, Word
from coda_voice_plugin.config.hybrid import FallbackSettings
from coda_voice_plugin.events import AudioFrame
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Report, Spoken, SpokenFrames
from coda_voice_plugin.kyutai.script import PAD
from coda_voice_plugin.session.mic import FrameQueue
from coda_voice_plugin.strategies.hybrid.health import Health
from coda_voice_plugin.strategies.hybrid.partner import STALE, Pace, Partner, Taking
from coda_voice_plugin.strategies.hybrid.parts import Parts
from coda_voice_plugin.testing import config, run_virtual

SETTINGS = FallbackSettings()


class Still(Line):
    """A line that gives the frames that the test gives it."""

    can_say = True

    def __init__(self) -> None:
        self.pushed = 0
        """Samples."""
        self.said: list[str] = []
        self.closed = False
        self._frames = SpokenFrames()
        self._given = 0

    def give(self, level: float = 0.0, word: str = "") -> None:
        start = self._given * FRAME
        words = (Word(word, start, start + FRAME),) if word else ()
        self._frames.put(Spoken(start, np.full(FRAME, level, np.float32), words))
        self._given += 1

    def push(self, samples: np.ndarray) -> None:
        self.pushed += len(samples)

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        return self._frames.frames()

    def say(self, text: str, manner: str = "forced") -> None:
        self.said.append(text)

    def report(self) -> Report:
        return Report(waiting=tuple(self.said))

    def hush(self) -> None:
        self.said.clear()

    def unhush(self) -> None:
        pass

    def hold(self, held: bool) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        self._frames.end()


class Desk:
    """A partner, its lines, and the health of Moshi."""

    def __init__(self) -> None:
        self.health = Health(SETTINGS)
        self.lines: list[Still] = []
        self.mic = FrameQueue(50)
        call = cast("Any", SimpleNamespace(config=config(), mic=self.mic))
        self.partner = Partner(call, self._open, self.health)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Still]:
        self.lines.append(Still())
        yield self.lines[-1]

    @property
    def line(self) -> Still:
        return self.lines[-1]

    async def sound(self, seconds: float, *, every_s: float = 0.0) -> None:
        """The user's sound; a frame comes back each ``every_s`` of it, none where that is 0."""
        waited = 0.0
        for _ in range(round(seconds / 0.02)):
            self.mic.put(AudioFrame(bytes(RATE // 50 * 2), RATE))
            await asyncio.sleep(0.02)
            waited += 0.02
            if every_s and waited > every_s - 0.001:
                self.line.give()
                waited = 0.0

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        async def well() -> None:
            pass

        async def run() -> None:
            self.health.add("moshi", well)
            async with asyncio.TaskGroup() as tasks:
                looks = tasks.create_task(self.health.run())
                tasks.create_task(self.partner.run())
                tasks.create_task(self.partner.listen())
                await self.partner.opened.wait()
                await scene()
                self.partner.close()
                looks.cancel()

        run_virtual(run())


def test_a_line_that_stays_silent_is_hung_up_and_the_next_one_counts_when_it_speaks() -> None:
    desk = Desk()

    async def scene() -> None:
        await desk.sound(1.0, every_s=FRAME_S)
        assert desk.partner.here
        await desk.sound(1.6)
        assert not desk.partner.here
        assert desk.health.up("moshi"), "one strike"
        assert not desk.line.closed
        await desk.sound(1.5)
        assert not desk.health.up("moshi")
        assert desk.line.closed
        await desk.sound(3.0)
        assert desk.health.up("moshi")
        assert len(desk.lines) == 2
        assert not desk.partner.here, "nothing came yet"
        await desk.sound(0.1, every_s=FRAME_S)
        assert desk.partner.here

    desk.play(scene)


@pytest.mark.parametrize("pause", [0.5, 1.0, 1.4])
def test_one_pause_that_is_no_silence_is_forgiven(pause) -> None:
    desk = Desk()

    async def scene() -> None:
        for _ in range(3):
            await desk.sound(3.0, every_s=FRAME_S)
            await desk.sound(pause)
        assert desk.health.report()["moshi"]["strikes"] == 0
        assert desk.partner.here

    desk.play(scene)


async def all_of(taking: Taking) -> None:
    while True:
        await taking.next()


@pytest.mark.parametrize("every_s", [0.12, 0.2, 0.5])
def test_frames_slower_than_sound_are_two_strikes_in_three_seconds(every_s) -> None:
    desk = Desk()

    async def scene() -> None:
        with desk.partner.take() as taking:
            await desk.sound(3.2, every_s=every_s)
            assert not desk.health.up("moshi")
            assert not desk.line.closed, "its ticks must go on, to show when it has healed"
            with pytest.raises(EngineTimeoutError, match="slower than real time"):
                await all_of(taking)

    desk.play(scene)


def test_pace_counts_a_stretch_without_its_longest_wait() -> None:
    def late(*waits: float) -> list[bool]:
        """A frame behind each of these waits."""
        pace, found = Pace(1.5), []
        for wait in waits:
            found.append(pace.falls_behind(wait, wait))
            pace.given_s += FRAME_S
        return found

    assert not any(late(*[FRAME_S] * 100))
    assert not any(late(*[FRAME_S] * 10, 1.0, *[FRAME_S] * 10))
    assert any(late(*[0.1] * 9, *[0.2] * 20))
    assert any(late(*[1.0] * 4))


def test_a_muted_microphone_is_silence_at_the_pace_of_sound_while_speech_is_wanted() -> None:
    desk = Desk()

    async def scene() -> None:
        await asyncio.sleep(4.0)
        assert desk.line.pushed == 0, "nobody wants to hear anything"
        with desk.partner.take():
            for _ in range(100):
                await asyncio.sleep(FRAME_S)
                desk.line.give()
        assert desk.line.pushed / RATE == pytest.approx(8.0, abs=2 * FRAME_S)

    desk.play(scene)


def test_what_was_hushed_is_not_heard_and_new_words_wait_until_it_has_ended() -> None:
    desk = Desk()

    async def scene() -> None:
        desk.line.give(0.2, "old")
        await asyncio.sleep(0.01)
        desk.partner.hush()
        desk.partner.say("new words")
        with desk.partner.take() as taking:
            for _ in range(3):
                desk.line.give(0.2, "stale")
            await asyncio.sleep(0.01)
            assert desk.line.said == []
            assert desk.partner.report().waiting == ("new", "words")
            desk.line.give(0.0, "late")
            await asyncio.sleep(0.01)
            assert desk.line.said == ["new words"]
            for level, word in ((0.0, ""), (0.0, ""), (0.2, "new")):
                desk.line.give(level, word)
            piece = await taking.next()
            assert [word.text for word in piece.spoken.words] == ["new"]

    desk.play(scene)


def test_a_voice_that_does_not_end_when_it_is_hushed_is_heard_again_in_the_end() -> None:
    desk = Desk()

    async def scene() -> None:
        desk.line.give(0.2)
        await asyncio.sleep(0.01)
        desk.partner.hush()
        desk.partner.say("new")
        with desk.partner.take() as taking:
            for _ in range(STALE):
                desk.line.give(0.2)
            await asyncio.sleep(0.01)
            assert desk.line.said == ["new"]
            desk.line.give(0.2, "heard")
            piece = await taking.next()
            assert piece.spoken.start == (STALE + 1) * FRAME

    desk.play(scene)


def test_words_are_given_at_once_where_nothing_was_being_said() -> None:
    desk = Desk()

    async def scene() -> None:
        desk.partner.hush()
        desk.partner.say("new")
        assert desk.line.said == ["new"]

    desk.play(scene)


def test_a_look_at_moshi_judges_the_ticks_since_the_last_look() -> None:
    ticks = SimpleNamespace(count=0, overruns=0)
    wheel = SimpleNamespace(down=None, taken=1, ticks=ticks)
    engine = SimpleNamespace(wheel=wheel, loaded=SimpleNamespace(device="cpu"))
    host, health = cast("Any", SimpleNamespace(config=config())), Health(SETTINGS)
    parts = Parts(host, health, cast("Any", None), cast("Any", None), cast("Any", engine))

    async def look(count: int, overruns: int) -> None:
        ticks.count, ticks.overruns = ticks.count + count, ticks.overruns + overruns
        await parts.look_at_moshi()

    async def run() -> None:
        await look(1_000, 10)
        with pytest.raises(EngineTimeoutError, match="take longer"):
            await look(5, 5)
        with pytest.raises(EngineTimeoutError, match="stand still"):
            await look(0, 0)
        with pytest.raises(EngineTimeoutError, match="take longer"):
            await look(12, 3)
        await look(12, 2)

    run_virtual(run())


def test_a_greeting_is_said_to_its_end_though_an_opener_would_be_too_long() -> None:
    greeting = "Hello and welcome, this is a greeting of many words."

    async def scene(user, call) -> None:
        await user.silence(9.0)

    call = play(scene, moshi={"opening": greeting}, hybrid={"opener_ms": 1_000})
    assert call.said() == [("", greeting)]


def test_what_moshi_does_not_say_about_a_loss_is_said_by_the_other_voice() -> None:
    model = Moshi()
    model.obeys = False

    def gone(call) -> None:
        call.llm.failures, call.llm.fail_after = 99, 0

    call = play(asking(10.0, before=gone), model=model)
    assert "I can't look things up right now." in call.world.tts.spoken
    ((_, said),) = call.said()
    assert said == f"I can't look things up right now. {model.saying}"


def test_the_loss_of_the_ear_is_told_as_a_move() -> None:
    def deaf(call) -> None:
        call.world.stt.failures = 1

    call = play(asking(6.0, 6.0, before=deaf))
    moves = [(each["from"], each["to"]) for each in call.notices("fallback")]
    assert moves == [("hybrid", "moshi"), ("moshi", "hybrid")]


def test_nobody_is_asked_for_a_line_while_moshi_is_down() -> None:
    desk = Desk()

    async def scene() -> None:
        desk.health.failed("moshi", EngineDownError("moshi", "nobody answers."))
        desk.line.close()
        await desk.sound(0.9)
        assert len(desk.lines) == 1
        await desk.sound(2.5)
        assert len(desk.lines) == 2

    desk.play(scene)


def test_what_a_mind_wrote_before_it_broke_is_said_by_moshi_and_the_loss_is_told() -> None:
    def breaks(call) -> None:
        call.llm.script = [["Paris ", "is ", "lovely, ", "and ", "large."]]
        call.llm.failures, call.llm.fail_after = 1, 4

    call = play(asking(14.0, before=breaks), hybrid={"way": "injection", "opener": "none"})
    ((_, said),) = call.said()
    assert said == "Paris is lovely, and Sorry, the rest of my answer is lost."
    assert [turn.error for turn in call.turns()] == ["engine"]


class Stalls(Moshi):
    """A Moshi whose step takes two seconds, once, behind so many words."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._usual = 0.0
        super().__init__()

    @property
    def cost(self) -> float:
        said = sum(token > PAD for tokens in self.heard.values() for token in tokens)
        if said < self._behind:
            return self._usual
        self._behind = 1_000_000
        return 2.0

    @cost.setter
    def cost(self, seconds: float) -> None:
        self._usual = seconds


def test_one_silence_of_moshi_is_one_strike_also_where_an_answer_was_lost_by_it() -> None:
    strikes = []

    async def scene(user, call) -> None:
        call.llm.script = [["Paris ", "is ", "lovely, ", "and ", "large."]]
        await user.speak(2)
        await user.silence(12.0)
        strikes.append(call.strategy.parts.health.report()["moshi"])

    call = play(scene, model=Stalls(2), hybrid={"way": "injection", "opener": "none"})
    assert strikes[0]["up"]
    assert strikes[0]["strikes"] == 1
    assert call.said()[0][1].endswith("and large.")
    assert call.turns()[0].error is None


def test_one_break_of_moshi_is_one_failure() -> None:
    def breaks(call) -> None:
        call.llm.first_token = 1.0
        asyncio.get_running_loop().call_later(2.2, call.moshi.faults.append, RuntimeError("broke"))

    failures = []

    async def scene(user, call) -> None:
        await asking(8.0, before=breaks)(user, call)
        failures.append(call.strategy.parts.health.report()["moshi"]["failures"])

    call = play(scene)
    assert failures == [1]
    assert call.turns()[0].assistant.startswith(("Well, a", "Well, let a", "Well, let me a"))
