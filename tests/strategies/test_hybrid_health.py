"""Which part counts as well: errors at once, strikes, and looks until it is trusted again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from coda_voice_plugin import BusyError, ContextOverflowError, EngineDownError, EngineError
from coda_voice_plugin.config.hybrid import FallbackSettings
from coda_voice_plugin.strategies.hybrid.health import Change, Health
from coda_voice_plugin.testing import run_virtual

DOWN = EngineDownError("scripted", "nobody answers.")
SETTINGS = FallbackSettings()
PROMISED_S = 4.5
"""From healing to use with the default settings; the project asks for 5."""


class Patient:
    """A part that is ill until ``heals_at``; each look takes ``takes`` seconds at most."""

    def __init__(self, heals_at: float = 0.0, takes: Callable[[int], float] | float = 0.01) -> None:
        self.heals_at = heals_at
        self.begun: list[float] = []
        self.cancelled = 0
        self.at_once = 0
        self._takes = takes
        self._now = 0

    async def probe(self) -> None:
        begun = now()
        self.begun.append(begun)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            takes = self._takes(len(self.begun)) if callable(self._takes) else self._takes
            await asyncio.sleep(takes)
            if begun < self.heals_at:
                raise DOWN
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._now -= 1


def now() -> float:
    return asyncio.get_running_loop().time()


def watched(
    scene: Callable[[Health], Awaitable[None]], settings: FallbackSettings = SETTINGS
) -> tuple[Health, list[Change]]:
    """Play ``scene`` while the looks go on; what changed."""
    health = Health(settings)
    changes: list[Change] = []
    health.subscribe(changes.append)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            looks = tasks.create_task(health.run())
            await scene(health)
            looks.cancel()

    run_virtual(run())
    return health, changes


def tale(changes: list[Change]) -> list[tuple[str, bool]]:
    return [(change.part, change.up) for change in changes]


def test_a_part_that_is_added_is_up_and_one_that_nobody_told_of_is_not() -> None:
    async def scene(health: Health) -> None:
        assert not health.up("llm")
        assert not health.has("llm")
        health.add("llm", Patient().probe)
        assert health.up("llm")
        assert health.has("llm")
        assert not health.up("moshi")

    _, changes = watched(scene)
    assert tale(changes) == [("llm", True)]


def test_an_error_counts_at_once_and_says_why() -> None:
    async def scene(health: Health) -> None:
        health.add("llm", Patient().probe)
        await asyncio.sleep(3)
        health.failed("llm", DOWN)
        assert not health.up("llm")
        await asyncio.sleep(0.5)
        assert health.report()["llm"] == {
            "up": False, "since": 0.5, "reason": "scripted: nobody answers.",
            "code": "engine_down", "failures": 1, "strikes": 0,
        }  # fmt: skip
        assert health.down() == ("llm",)

    _, changes = watched(scene)
    assert changes[-1] == Change("llm", False, "scripted: nobody answers.", 3.0)


@pytest.mark.parametrize("error", [BusyError(2), ContextOverflowError("scripted", "too long.")])
def test_the_trouble_of_one_call_is_no_failure_of_the_part(error) -> None:
    async def scene(health: Health) -> None:
        health.add("moshi", Patient().probe)
        for _ in range(5):
            health.failed("moshi", error)
        assert health.up("moshi")
        assert health.report()["moshi"]["failures"] == 0

    watched(scene)


def test_one_missed_deadline_is_forgiven_and_two_are_a_failure() -> None:
    async def scene(health: Health) -> None:
        health.add("llm", Patient().probe)
        health.late("llm", "no first word within 6 s")
        assert health.up("llm")
        assert health.report()["llm"]["strikes"] == 1
        await asyncio.sleep(59)
        health.late("llm", "no first word within 6 s")
        assert not health.up("llm")
        assert health.reason("llm") == "no first word within 6 s"
        assert health.report()["llm"]["code"] == "engine_timeout"

    watched(scene)


def test_a_missed_deadline_is_forgotten_after_its_window() -> None:
    async def scene(health: Health) -> None:
        health.add("llm", Patient().probe)
        for _ in range(5):
            health.late("llm", "late")
            assert health.up("llm")
            await asyncio.sleep(60)
            assert health.report()["llm"]["strikes"] == 0

    watched(scene)


def test_work_done_well_forgets_missed_deadlines_and_lifts_no_failure() -> None:
    async def scene(health: Health) -> None:
        health.add("llm", Patient(heals_at=1e9).probe)
        health.late("llm", "late")
        health.well("llm")
        health.late("llm", "late")
        assert health.up("llm")
        health.failed("llm", DOWN)
        health.well("llm")
        assert not health.up("llm")

    watched(scene)


def test_strikes_from_before_a_failure_are_not_held_against_the_healed_part() -> None:
    async def scene(health: Health) -> None:
        health.add("llm", Patient().probe)
        health.late("llm", "late")
        health.failed("llm", DOWN)
        health.late("llm", "late")  # of a turn that began before: it is down already
        await asyncio.sleep(4)
        assert health.up("llm")
        health.late("llm", "late")
        assert health.up("llm")

    watched(scene)


def test_a_part_is_lifted_by_two_looks_in_a_row_a_second_apart() -> None:
    part = Patient(heals_at=5.5)

    async def scene(health: Health) -> None:
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(20)

    _, changes = watched(scene)
    assert part.begun == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "and none once it is well"
    assert tale(changes) == [("llm", True), ("llm", False), ("llm", True)]
    assert changes[-1].at == pytest.approx(7.01)
    assert changes[-1].reason == ""


def test_a_look_that_fails_begins_the_count_anew() -> None:
    fails = {2, 4}
    begun = []

    async def probe() -> None:
        begun.append(now())
        if len(begun) in fails:
            raise DOWN

    async def scene(health: Health) -> None:
        health.add("llm", probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(20)

    _, changes = watched(scene)
    assert len(begun) == 6
    assert changes[-1].at == 6.0


def test_an_error_during_a_look_takes_its_word_back() -> None:
    part = Patient(takes=0.5)

    async def scene(health: Health) -> None:
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(2.2)  # in the second look
        health.failed("llm", DOWN)
        await asyncio.sleep(1)
        assert not health.up("llm")
        await asyncio.sleep(10)

    _, changes = watched(scene)
    assert changes[-1].at == 4.5, "two looks behind the error"


@pytest.mark.parametrize("hang", ["none", "the first", "the one at healing", "every other", "all"])
@pytest.mark.parametrize("offset", [0.0, 0.001, 0.25, 0.499, 0.999])
def test_a_part_that_heals_is_used_again_within_the_promised_time(hang, offset) -> None:
    """Looks that hang while it is ill, and take nearly their whole time when it is well."""
    heals_at = 10 + offset
    slow = SETTINGS.probe_timeout_ms / 1000 - 0.001

    def takes(number: int) -> float:
        healed = now() >= heals_at
        hangs = {
            "none": False,
            "the first": number == 1,
            "the one at healing": abs(now() - heals_at) < 1.5,
            "every other": number % 2 == 0,
            "all": True,
        }[hang]
        return (slow if healed else 60.0) if hangs else 0.01

    async def scene(health: Health) -> None:
        health.add("llm", Patient(heals_at, takes).probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(30)
        assert health.up("llm")

    _, changes = watched(scene)
    assert changes[-1].up
    assert heals_at < changes[-1].at <= heals_at + PROMISED_S
    bound = (SETTINGS.probes + 1) * max(SETTINGS.probe_ms, SETTINGS.probe_timeout_ms) / 1000
    assert bound == PROMISED_S <= 5.0


def test_a_look_that_hangs_is_cancelled_and_there_is_never_more_than_one() -> None:
    part = Patient(heals_at=1e9, takes=3600)

    async def scene(health: Health) -> None:
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(60)
        assert health.reason("llm") == "it does not answer within 1500 ms"

    watched(scene)
    assert part.begun[:3] == [1.0, 2.5, 4.0]
    assert part.cancelled == len(part.begun)
    assert part.at_once == 1


def test_a_part_whose_look_hangs_keeps_no_other_part_down() -> None:
    hangs, heals = Patient(heals_at=1e9, takes=3600), Patient(heals_at=9.5)

    async def scene(health: Health) -> None:
        health.add("moshi", hangs.probe)
        health.add("llm", heals.probe)
        health.failed("moshi", DOWN)
        health.failed("llm", DOWN)
        await asyncio.sleep(30)
        assert health.down() == ("moshi",)

    _, changes = watched(scene)
    assert changes[-1].part == "llm"
    assert changes[-1].at == pytest.approx(11.01)


def test_healing_in_the_middle_of_a_look_counts_from_the_next_one() -> None:
    part = Patient(heals_at=5.3, takes=0.8)

    async def scene(health: Health) -> None:
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(20)

    _, changes = watched(scene)
    assert changes[-1].at == pytest.approx(7.8)


def test_a_part_that_flaps_is_lifted_once_in_a_probe_window_at_most() -> None:
    """Every use fails at once, every look goes well: the worst of both."""
    window = SETTINGS.probes * SETTINGS.probe_ms / 1000

    async def scene(health: Health) -> None:
        health.add("llm", Patient().probe)
        while now() < 60:
            if health.up("llm"):
                health.failed("llm", DOWN)
            await asyncio.sleep(0.01)

    _, changes = watched(scene)
    lifts = [change.at for change in changes[1:] if change.up]
    falls = [change.at for change in changes if not change.up]
    assert 20 <= len(lifts) <= 60 / window
    assert all(after - before >= window - 1e-6 for before, after in pairwise(lifts))
    for fell, rose in zip(falls, lifts, strict=False):
        assert rose - fell >= window - 1e-6, "never lifted sooner"
    assert all(one.up != other.up for one, other in pairwise(changes)), "each change is one"


def test_a_part_that_flickers_between_looks_stays_down() -> None:
    async def flicker() -> None:
        if int(now()) % 2:
            raise DOWN

    async def scene(health: Health) -> None:
        health.add("llm", flicker)
        health.failed("llm", DOWN)
        await asyncio.sleep(60)

    _, changes = watched(scene)
    assert tale(changes) == [("llm", True), ("llm", False)]


def test_a_missing_part_is_looked_at_only_if_it_was_added() -> None:
    part = Patient(heals_at=3.5)

    async def scene(health: Health) -> None:
        health.missing("moshi", EngineError("moshi", "no device."))
        health.missing("other", DOWN)
        assert not health.has("moshi")
        health.add("other", part.probe)
        assert not health.up("other"), "adding it does not make it well"
        await asyncio.sleep(20)
        assert health.up("other")
        assert health.report()["moshi"] == {
            "up": False, "since": 20.0, "reason": "moshi: no device.",
            "code": "engine", "failures": 0, "strikes": 0,
        }  # fmt: skip

    _, changes = watched(scene)
    assert tale(changes) == [("moshi", False), ("other", False), ("other", True)]
    assert part.begun == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_probe_with_a_bug_is_logged_and_counts_as_not_well(caplog) -> None:
    async def broken() -> None:
        raise ZeroDivisionError("by nought")

    part = Patient()

    async def scene(health: Health) -> None:
        health.add("llm", broken)
        health.add("tts", part.probe)
        health.failed("llm", DOWN)
        health.failed("tts", DOWN)
        await asyncio.sleep(10)
        assert health.down() == ("llm",), "and the looks at others go on"
        assert health.reason("llm") == "ZeroDivisionError: by nought"

    with caplog.at_level(logging.ERROR):
        watched(scene)
    assert caplog.records
    assert caplog.records[0].exc_info


def test_a_probe_whose_own_work_was_cancelled_is_not_well_and_ends_nothing() -> None:
    begun = []

    async def strange() -> None:
        begun.append(now())
        if len(begun) in {2, 3}:
            raise asyncio.CancelledError

    async def scene(health: Health) -> None:
        health.add("llm", strange)
        health.failed("llm", DOWN)
        await asyncio.sleep(10)
        assert health.up("llm")

    _, changes = watched(scene)
    assert changes[-1].at == 5.0, "two in a row behind the cancelled ones"


def test_cancelling_the_looks_cancels_a_look_that_hangs_and_leaves_nothing() -> None:
    part = Patient(heals_at=1e9, takes=3600)

    async def run() -> None:
        health = Health(SETTINGS)
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        looks = asyncio.timeout(2)
        with pytest.raises(TimeoutError):
            async with looks:
                await health.run()
        assert looks.expired()
        assert now() == 2.0
        assert part.cancelled == 1
        await asyncio.sleep(10)
        assert len(part.begun) == 1, "nobody looks any more"

    run_virtual(run())  # fails when a task is left over


def test_looks_can_be_begun_again_after_they_were_cancelled() -> None:
    part = Patient(heals_at=2.5, takes=0.6)

    async def run() -> None:
        health = Health(SETTINGS)
        health.add("llm", part.probe)
        health.failed("llm", DOWN)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10 if now() else 1.3):
                    await health.run()
        assert health.up("llm")

    run_virtual(run())
    assert part.cancelled == 1


def test_two_parts_fail_and_heal_each_by_itself_and_each_listener_is_told_once() -> None:
    told: list[Change] = []

    async def scene(health: Health) -> None:
        health.add("moshi", Patient(heals_at=8.0).probe)
        health.add("llm", Patient(heals_at=3.0).probe)
        end = health.subscribe(told.append)
        health.failed("moshi", DOWN)
        await asyncio.sleep(0.5)
        health.failed("llm", DOWN)
        health.failed("llm", DOWN)
        await asyncio.sleep(20)
        end()
        health.failed("llm", DOWN)

    health, changes = watched(scene)
    assert tale(told) == [("moshi", False), ("llm", False), ("llm", True), ("moshi", True)]
    assert tale(changes)[2:] == [*tale(told), ("llm", False)]
    assert not health.up("llm")


def test_a_listener_that_fails_neither_stops_the_looks_nor_the_other_listeners(caplog) -> None:
    told: list[Change] = []

    def broken(change: Change) -> None:
        raise ZeroDivisionError

    async def scene(health: Health) -> None:
        health.subscribe(broken)
        health.subscribe(told.append)
        health.add("llm", Patient().probe)
        health.failed("llm", DOWN)
        await asyncio.sleep(10)

    with caplog.at_level(logging.ERROR):
        watched(scene)
    assert tale(told) == [("llm", True), ("llm", False), ("llm", True)]
    assert "a listener failed" in caplog.text


def test_what_nobody_told_of_cannot_fail() -> None:
    async def scene(health: Health) -> None:
        for tell in (
            lambda: health.failed("llm", DOWN),
            lambda: health.late("llm", "late"),
            lambda: health.well("llm"),
        ):
            with pytest.raises(KeyError):
                tell()

    watched(scene)
