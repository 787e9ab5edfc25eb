"""What turns take: figures by way of answering, budgets, and the drawing of one turn."""

from __future__ import annotations

import asyncio

import pytest

from coda_voice_plugin.config.hybrid import LatencySettings
from coda_voice_plugin.strategies.hybrid.tally import FIRST_TOKENS_S, LATEST, Over, Tally, waterfall
from coda_voice_plugin.testing import run_virtual


def later(scene) -> None:
    async def run() -> None:
        await scene(Tally(LatencySettings()))

    run_virtual(run())


def test_figures_are_by_way_and_stage() -> None:
    async def scene(tally: Tally) -> None:
        for number in range(1, 101):
            tally.add("hybrid", {"first_audio": float(number), "endpoint": 200.0})
        tally.add("moshi", {"first_audio": 400.0})
        report = tally.report()
        assert report["hybrid"]["first_audio"] == {
            "n": 100, "p50": 50.0, "p95": 95.0, "max": 100.0, "over": 0,
        }  # fmt: skip
        assert report["hybrid"]["endpoint"]["p95"] == 200.0
        assert report["moshi"]["first_audio"] == {
            "n": 1, "p50": 400.0, "p95": 400.0, "max": 400.0, "over": 0,
        }  # fmt: skip

    later(scene)


def test_a_stage_that_some_turns_lack_is_counted_where_it_was_measured() -> None:
    async def scene(tally: Tally) -> None:
        tally.add("hybrid", {"first_audio": 300.0})
        tally.add("hybrid", {"first_audio": 500.0, "first_content": 900.0})
        report = tally.report()["hybrid"]
        assert (report["first_audio"]["n"], report["first_content"]["n"]) == (2, 1)

    later(scene)


def test_only_the_latest_turns_count() -> None:
    async def scene(tally: Tally) -> None:
        for _ in range(LATEST):
            tally.add("moshi", {"first_audio": 9_000.0})
        for _ in range(LATEST):
            tally.add("moshi", {"first_audio": 300.0})
        assert tally.report()["moshi"]["first_audio"]["max"] == 300.0
        assert tally.report()["moshi"]["first_audio"]["n"] == LATEST

    later(scene)


def test_what_a_turn_said_later_does_not_change_its_figures() -> None:
    async def scene(tally: Tally) -> None:
        timings = {"first_audio": 300.0}
        tally.add("moshi", timings)
        timings["first_audio"] = 1.0
        assert tally.report()["moshi"]["first_audio"]["p50"] == 300.0

    later(scene)


def test_a_stage_beyond_its_budget_is_told_and_counted() -> None:
    async def scene(tally: Tally) -> None:
        timings = {"endpoint": 9_000.0, "first_audio": 900.0, "first_content": 3_000.5}
        tally.add("hybrid", timings)
        assert tally.over("hybrid", timings) == [Over("first_content", 3_000.5, 3_000)]
        assert tally.over("moshi", {"first_audio": 901.0}) == [Over("first_audio", 901.0, 900)]
        assert tally.over("some other way", timings) == []
        report = tally.report()["hybrid"]
        assert report["first_content"]["over"] == 1
        assert report["first_audio"]["over"] == report["endpoint"]["over"] == 0

    later(scene)


@pytest.mark.parametrize("mode", ["hybrid", "moshi", "ollama", "embedded"])
def test_every_way_of_answering_has_a_budget(mode) -> None:
    async def scene(tally: Tally) -> None:
        assert [over.stage for over in tally.over(mode, {"first_audio": 60_000.0})] == [
            "first_audio"
        ]

    later(scene)


def test_the_first_word_of_the_language_model_is_taken_in_the_median() -> None:
    async def scene(tally: Tally) -> None:
        assert tally.first_token_median() is None
        for first in (400.0, 9_000.0, 500.0):
            tally.add("hybrid", {"llm_first_token": first})
        tally.add("ollama", {"first_audio": 100.0})
        assert tally.first_token_median() == 500.0

    later(scene)


def test_other_minds_say_nothing_of_the_language_model() -> None:
    async def scene(tally: Tally) -> None:
        tally.add("embedded", {"llm_first_token": 9_000.0})
        tally.add("ollama", {"llm_first_token": 9_000.0}, mind="other")
        tally.add("moshi", {"llm_first_token": 9_000.0})
        assert tally.first_token_median() is None
        tally.add("adaptive", {"llm_first_token": 700.0}, mind="llm")
        assert tally.first_token_median() == 700.0

    later(scene)


def test_a_slow_spell_is_forgotten_even_if_nobody_asks_the_model_any_more() -> None:
    async def scene(tally: Tally) -> None:
        tally.add("hybrid", {"llm_first_token": 9_000.0})
        await asyncio.sleep(FIRST_TOKENS_S - 1)
        assert tally.first_token_median() == 9_000.0
        await asyncio.sleep(1)
        assert tally.first_token_median() is None

    later(scene)


def test_a_spell_of_twenty_fast_turns_outweighs_any_number_of_slow_ones() -> None:
    async def scene(tally: Tally) -> None:
        for first in [9_000.0] * 500 + [300.0] * 20:
            tally.add("hybrid", {"llm_first_token": first})
        assert tally.first_token_median() == 300.0

    later(scene)


def test_a_cascade_falls_in_steps() -> None:
    timings = {
        "endpoint": 300.0, "stt": 340.0, "llm_first_token": 700.0, "tts_first_audio": 900.0,
        "first_audio": 910.0, "first_content": 910.0, "capture": 20.0,
    }  # fmt: skip
    assert waterfall(timings) == (
        ("capture", -20.0, 0.0),
        ("endpoint", 0.0, 300.0),
        ("recognition", 300.0, 340.0),
        ("first token", 340.0, 700.0),
        ("first sound", 700.0, 910.0),
        ("first content word", 700.0, 910.0),
    )


def test_an_opener_sounds_beside_the_thinking() -> None:
    timings = {
        "stt": 210.0, "endpoint": 320.0, "first_audio": 480.0,
        "llm_first_token": 1_200.0, "first_content": 1_900.0,
    }  # fmt: skip
    assert waterfall(timings) == (
        ("endpoint", 0.0, 320.0),
        ("recognition", 0.0, 210.0),
        ("first token", 320.0, 1_200.0),
        ("first sound", 320.0, 480.0),
        ("first content word", 1_200.0, 1_900.0),
    )


def test_a_thought_that_was_ready_before_the_end_of_the_turn_has_no_length() -> None:
    timings = {"endpoint": 480.0, "stt": 200.0, "llm_first_token": -150.0, "first_audio": 490.0}
    assert waterfall(timings) == (
        ("endpoint", 0.0, 480.0),
        ("recognition", 0.0, 200.0),
        ("first token", -150.0, -150.0),
        ("first sound", 480.0, 490.0),
    )


def test_what_was_not_measured_is_left_out() -> None:
    assert waterfall({}) == ()
    assert waterfall({"first_audio": 250.0, "tts_first_audio": 1.0}) == (
        ("first sound", 0.0, 250.0),
    )


def test_no_row_ends_before_it_begins() -> None:
    names = ("endpoint", "stt", "llm_first_token", "first_audio", "first_content")
    for seed in range(200):
        timings = {
            name: float((seed * 7919 * (n + 3)) % 2_000 - 400) for n, name in enumerate(names)
        }
        rows = waterfall(timings)
        assert len(rows) == 5
        assert all(row.begin_ms <= row.end_ms for row in rows)
        assert [row.end_ms for row in rows] == list(timings.values())
