"""A recogniser that judges pauses itself is believed in place of Smart Turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from virtual import run_virtual
from world import Listener, ScriptedSTT, User, World, config

from coda_voice_plugin import MIC_RATE, Call, Heard, Pause, Recognition, SpeechEnded, Strategy
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.engine import SpeechToText
from coda_voice_plugin.host import Hearing
from coda_voice_plugin.testing.scripted import ScriptedRecognition

Judgement = Callable[[float], float | None]
"""Seconds of silence at the end, to a probability."""


class Judging(ScriptedRecognition):
    def __init__(self, stt: ScriptedSTT, judgement: Judgement) -> None:
        super().__init__(stt)
        self._judgement = judgement
        self._silence = 0

    def accept(self, samples: Floats) -> None:
        super().accept(samples)
        self._silence = 0 if samples.any() else self._silence + len(samples)

    @property
    def turn_probability(self) -> float | None:
        return self._judgement(self._silence / MIC_RATE)


class JudgingSTT(ScriptedSTT):
    def __init__(self, judgement: Judgement, turn: dict[str, object]) -> None:
        super().__init__(config(turn=turn))
        self._judgement = judgement

    def listen(self) -> Recognition:
        return Judging(self, self._judgement)


class Noting(Strategy):
    name = "noting"
    needs = ("stt",)

    def __init__(self) -> None:
        self.heard: list[tuple[float, Heard]] = []

    async def converse(self, call: Call) -> None:
        async for heard in call.hear():
            self.heard.append((asyncio.get_running_loop().time(), heard))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Smart Turn, which here finds every turn finished; what it was asked."""
    asked: list[int] = []

    async def melody(hearing: Hearing, samples: np.ndarray) -> float:
        asked.append(len(samples))
        return 1.0

    monkeypatch.setattr(Hearing, "turn_probability", melody)
    return asked


def waited(judgement: Judgement, **turn: object) -> float:
    """Seconds from the pause to the end of a turn."""
    settings = {"acoustic_hint": True, **turn}
    strategy = Noting()
    stt: SpeechToText = JudgingSTT(judgement, settings)
    world = World(strategy, config(turn=settings), engines={"stt": stt})

    async def scene() -> None:
        session = world.session(Listener())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            user = User(session)
            await user.speak(3)
            await user.silence(2.5)
            session.close()

    run_virtual(scene())
    (pause,) = (at for at, heard in strategy.heard if isinstance(heard, Pause))
    (end,) = (at for at, heard in strategy.heard if isinstance(heard, SpeechEnded))
    return end - pause


# A pause is told after turn.speculative_ms (160); the words take 20.


def test_its_judgement_says_how_long_a_pause_may_be(asked: list[int]) -> None:
    assert waited(lambda silence: 0.95) == pytest.approx(0.48 - 0.18, abs=0.06)
    assert waited(lambda silence: 0.02) == pytest.approx(1.4 - 0.18, abs=0.06)
    assert asked == [], "Smart Turn is not asked besides"


def test_it_may_grow_surer_while_the_pause_lasts(asked: list[int]) -> None:
    assert waited(lambda silence: 0.95 if silence > 0.8 else 0.02) == pytest.approx(
        0.8 - 0.18, abs=0.1
    )


def test_without_a_judgement_smart_turn_is_asked(asked: list[int]) -> None:
    assert waited(lambda silence: None) == pytest.approx(0.48 - 0.18, abs=0.06)
    assert len(asked) == 1


def test_no_sound_is_judged_where_the_settings_say_so(asked: list[int]) -> None:
    assert waited(lambda silence: 0.02, acoustic_hint=False) == pytest.approx(0.48 - 0.18, abs=0.06)


def test_a_recogniser_that_says_nothing_of_it_judges_nothing() -> None:
    assert ScriptedSTT(config()).listen().turn_probability is None
