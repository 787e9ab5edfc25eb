"""Which way of answering a turn takes, for every set of parts that are well."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from coda_voice_plugin import EngineDownError
from coda_voice_plugin.config.hybrid import FallbackSettings
from coda_voice_plugin.strategies.hybrid.health import Health, Part
from coda_voice_plugin.strategies.hybrid.ladder import NAMES, Ladder
from coda_voice_plugin.testing import run_virtual

PARTS: tuple[Part, ...] = ("moshi", "llm", "other", "embedded", "stt", "tts")
RUNGS = ("hybrid", "moshi", "ollama", "embedded")


async def well() -> None:
    pass


def scene(play, *up: Part, ladder=RUNGS, moshi_speaks: bool = False):
    """Call ``play(health, ladder)`` where the parts ``up`` are well and the others have failed."""

    async def run() -> None:
        settings = FallbackSettings(ladder=ladder)
        health = Health(settings)
        for part in PARTS:
            health.add(part, well)
            if part not in up:
                health.failed(part, EngineDownError(part, "is switched off."))
        play(health, Ladder(settings, health, moshi_speaks=moshi_speaks))

    run_virtual(run())


def expected(rung: str, up: set[str], here: bool, speaks: bool) -> bool:
    """The needs of each rung, written once more and otherwise."""
    cascade = {"stt", "tts"} <= up
    return {
        "hybrid": here and {"moshi", "stt", "llm"} <= up and (speaks or "tts" in up),
        "moshi": here and "moshi" in up,
        "ollama": cascade and bool({"llm", "other"} & up),
        "embedded": cascade and "embedded" in up,
    }[rung]


@pytest.mark.parametrize("speaks", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_the_first_rung_whose_parts_are_well_answers(here, speaks) -> None:
    for flags in product([False, True], repeat=len(PARTS)):
        up = {part for part, flag in zip(PARTS, flags, strict=True) if flag}
        possible = [rung for rung in RUNGS if expected(rung, up, here, speaks)]

        def play(health: Health, ladder: Ladder, possible=possible, up=up) -> None:
            assert ladder.rung(moshi_here=here) == next(iter(possible), None), up
            for place, rung in enumerate(RUNGS):
                below = next((each for each in possible if each in RUNGS[place + 1 :]), None)
                assert ladder.below(rung, moshi_here=here) == below, up
                assert (ladder.why_not(rung, moshi_here=here) == "") == (rung in possible), up

        scene(play, *up, moshi_speaks=speaks)


def test_the_order_is_the_ladders() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        assert ladder.rung(moshi_here=True) == "embedded"
        assert ladder.below("embedded", moshi_here=True) == "ollama"
        assert ladder.below("ollama", moshi_here=True) is None

    scene(play, *PARTS, ladder=("embedded", "ollama"))


def test_a_rung_that_the_ladder_does_not_name_stands_above_it() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        assert ladder.below("moshi", moshi_here=True) == "ollama"

    scene(play, *PARTS, ladder=("ollama", "embedded"))


@pytest.mark.parametrize(
    ("up", "mind"),
    [(("llm", "other"), "llm"), (("other",), "other"), (("embedded",), None)],
)
def test_the_other_model_thinks_where_the_preferred_one_cannot(up, mind) -> None:
    def play(health: Health, ladder: Ladder) -> None:
        assert ladder.mind("ollama") == mind
        assert ladder.mind("hybrid") == "llm"
        assert ladder.mind("embedded") == "embedded"
        assert ladder.mind("moshi") is None

    scene(play, *up)


def test_a_turn_whose_mind_failed_stays_on_its_rung_if_another_mind_stands_in() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        health.failed("llm", EngineDownError("llm", "went away."))
        assert ladder.below("ollama", moshi_here=False, tried="llm") == "ollama"
        assert ladder.mind("ollama") == "other"
        assert ladder.below("ollama", moshi_here=False, tried="other") == "embedded"
        assert ladder.below("ollama", moshi_here=False) == "embedded"

    scene(play, "llm", "other", "embedded", "stt", "tts")


def test_a_turn_whose_voice_failed_does_not_stay_on_its_rung() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        health.failed("llm", EngineDownError("llm", "went away."))
        health.failed("tts", EngineDownError("tts", "went away."))
        assert ladder.below("ollama", moshi_here=True, tried="llm") is None

    scene(play, "llm", "other", "embedded", "stt", "tts")


def test_people_are_told_what_a_rung_lacks() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        assert ladder.why_not("hybrid", moshi_here=False) == (
            "this call has no line to Moshi; the language model is down (llm: is switched off)"
        )
        assert ladder.why_not("ollama", moshi_here=False) == (
            "the language model is down (llm: is switched off); "
            "the other language model is down (other: is switched off)"
        )

    scene(play, "moshi", "stt", "tts")


def test_people_are_told_of_a_part_that_was_never_there() -> None:
    async def run() -> None:
        settings = FallbackSettings()
        ladder = Ladder(settings, Health(settings))
        assert ladder.rung(moshi_here=True) is None
        assert ladder.why_not("ollama", moshi_here=True) == (
            "the ear is not there; the voice is not there; the language model is not there"
        )

    run_virtual(run())


def test_each_change_of_the_rung_is_told_once() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        def now():
            return ladder.moved(ladder.rung(moshi_here=True), moshi_here=True)

        assert now() is None, "the preferred one needs no word"
        health.failed("llm", EngineDownError("llm", "went away."))
        move = now()
        assert move is not None
        assert move.data == {
            "from": "hybrid",
            "to": "moshi",
            "reason": "the language model is down (llm: went away)",
            "down": ["llm"],
        }
        assert now() is None
        health.failed("moshi", EngineDownError("moshi", "went away."))
        move = now()
        assert move is not None
        assert (move.origin, move.to) == ("moshi", "ollama")
        assert set(move.down) == {"llm", "moshi"}
        assert now() is None

    scene(play, *PARTS)


def test_the_way_back_is_told_too_and_so_is_that_nobody_can_answer() -> None:
    async def run() -> None:
        settings = FallbackSettings(ladder=("ollama",))
        health = Health(settings)
        ladder = Ladder(settings, health)

        def now():
            move = ladder.moved(ladder.rung(moshi_here=False), moshi_here=False)
            return move and (move.origin, move.to, move.reason)

        for part in ("stt", "tts", "llm"):
            health.add(part, well)
        async with asyncio.TaskGroup() as tasks:
            looks = tasks.create_task(health.run())
            health.failed("stt", EngineDownError("ear", "is deaf."))
            assert now() == ("ollama", None, "the ear is down (ear: is deaf)")
            await asyncio.sleep(5)
            assert now() == (None, "ollama", "what it needs is well again")
            looks.cancel()

    run_virtual(run())


def test_a_call_that_begins_below_the_preferred_rung_is_told_why() -> None:
    def play(health: Health, ladder: Ladder) -> None:
        move = ladder.moved(ladder.rung(moshi_here=False), moshi_here=False)
        assert move is not None
        assert (move.origin, move.to) == ("hybrid", "ollama")
        assert move.reason == "this call has no line to Moshi"
        assert move.down == ()

    scene(play, *PARTS)


def test_every_part_has_a_name_for_people() -> None:
    assert set(NAMES) == set(PARTS)
