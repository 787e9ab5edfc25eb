"""One batch for many callers gives each what it would have got alone."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from solo import Heard, assert_same, is_same, solo, speech

from coda_voice_plugin import EngineError
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import (
    Fresh,
    MoshiInput,
    MoshiOutput,
    Sampling,
    TextRule,
)
from coda_voice_plugin.testing.checkpoints import tiny_moshi

GREEDY = Sampling(temperature=0.0, text_temperature=0.0)
SEEDS = range(int(os.environ.get("CODA_VOICE_SEEDS", "1")))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that remembers 16 steps, so that its ring wraps soon."""
    return tiny_moshi(tmp_path_factory.mktemp("short"), context=16)


def opened(folder: Path, slots: int = 3, sampling: Sampling = GREEDY) -> Iterator[MoshiBatch]:
    batch = MoshiBatch(load_folder(folder), slots, sampling)
    batch.open()
    yield batch
    batch.close()


@pytest.fixture
def batch(short: Path) -> Iterator[MoshiBatch]:
    yield from opened(short)


class Caller:
    """Somebody with something to say, and what he heard."""

    def __init__(self, seed: int, frames: int) -> None:
        self.frames = speech(seed, frames)
        self.said = 0
        self.heard: Heard = []

    def next(self, **options: Any) -> MoshiInput:
        if self.said == 0:
            options.setdefault("begin", Fresh())
        self.said += 1
        return MoshiInput(self.frames[self.said - 1], **options)

    def take(self, out: MoshiOutput) -> None:
        if out.sound is not None and out.text is not None:
            self.heard.append((out.text, out.sound))


def run(batch: MoshiBatch, plan: list[dict[int, Caller]]) -> None:
    """Step through ``plan``: who has which slot in each tick."""
    for tick in plan:
        results = batch.step({slot: caller.next() for slot, caller in tick.items()})
        assert results.keys() == tick.keys()
        for slot, caller in tick.items():
            caller.take(results[slot])


def staggered(ticks: int = 70) -> tuple[list[dict[int, Caller]], list[Caller]]:
    """Joins at 0, 11 and 23; slot 1 is left at 40 and taken again at 47; slot 0 pauses."""
    a, b, c, d = (Caller(seed, ticks) for seed in range(4))
    plan: list[dict[int, Caller]] = []
    for tick in range(ticks):
        live = {}
        if not 30 <= tick < 36:
            live[0] = a
        if 11 <= tick < 40:
            live[1] = b
        if tick >= 23:
            live[2] = c
        if tick >= 47:
            live[1] = d
        plan.append(live)
    return plan, [a, b, c, d]


def test_joining_leaving_pausing_and_reusing_a_slot_changes_nothing_for_anybody(
    batch: MoshiBatch, short: Path
) -> None:
    plan, callers = staggered()
    run(batch, plan)
    for caller in callers:
        assert len({token for token, _ in caller.heard}) > 5  # else equality proves little
        assert_same(caller.heard, solo(short, caller.frames[: caller.said]))


def test_the_comparison_notices_when_two_callers_are_swapped(
    batch: MoshiBatch, short: Path
) -> None:
    plan, callers = staggered()
    run(batch, plan)
    a, b, *_ = callers
    assert not is_same(a.heard[: len(b.heard)], b.heard)
    assert not is_same(a.heard, solo(short, b.frames[: a.said]))


class Unmasked(MoshiBatch):
    """Everybody always takes part."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._streams.mask = lambda slots: torch.ones(self.slots, dtype=torch.bool)


class NotReset(MoshiBatch):
    """New occupants go on from where the last one stopped."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._streams.begin = lambda begins: None


class OneMask(MoshiBatch):
    """The decoder is given the mask of the encoder."""

    def _leave(self, work: Any, live: Any, out: Any) -> Any:
        set_mask = self._mimi.set_exec_mask
        self._mimi.set_exec_mask = lambda mask: None
        try:
            return super()._leave(work, live, out)
        finally:
            self._mimi.set_exec_mask = set_mask


@pytest.mark.parametrize("broken", [Unmasked, NotReset, OneMask])
def test_each_of_the_masks_is_needed(broken: type[MoshiBatch], short: Path) -> None:
    batch = broken(load_folder(short), 3, GREEDY)
    batch.open()
    plan, callers = staggered()
    run(batch, plan)
    batch.close()
    same = [is_same(each.heard, solo(short, each.frames[: each.said])) for each in callers]
    assert not all(same)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_of_joins_leaves_and_pauses_is_noticed_by_nobody(
    seed: int, batch: MoshiBatch, short: Path
) -> None:
    rng = random.Random(seed)
    seats: list[Caller | None] = [None] * batch.slots
    every: list[Caller] = []
    plan = []
    for _ in range(120):
        tick = {}
        for slot, caller in enumerate(seats):
            if caller is None and rng.random() < 0.2:
                caller = Caller(100 * seed + len(every), 120)
                every.append(caller)
                seats[slot] = caller
            elif caller is not None and rng.random() < 0.04:
                seats[slot] = caller = None
            if caller is not None and rng.random() > 0.15:
                tick[slot] = caller
        if tick:
            plan.append(tick)
    run(batch, plan)
    assert len(every) > 5
    for caller in every:
        assert_same(caller.heard, solo(short, caller.frames[: caller.said]))


def test_in_a_16_bit_format_the_slots_are_as_independent(short: Path) -> None:
    loaded = load_folder(short)
    loaded.lm.to(torch.bfloat16)
    batch = MoshiBatch(loaded, 3, GREEDY)
    batch.open()
    plan, (a, *_) = staggered(40)
    run(batch, plan)
    busy = [token for token, _ in a.heard]
    batch.restart()
    alone = Caller(0, 40)
    run(batch, [{0: alone} if tick else {} for tick in plan if 0 in tick])
    assert [token for token, _ in alone.heard] == busy
    batch.close()


# What a slot is told changes that slot alone.


def controlled(
    folder: Path, sampling: Sampling, rule: TextRule | None, slots: int = 2, ticks: int = 30
) -> list[list[MoshiOutput]]:
    """Outputs by slot; slot 1 gets ``rule`` from tick 10 on."""
    batch = MoshiBatch(load_folder(folder), slots, sampling)
    batch.open()
    torch.manual_seed(5)
    callers = [Caller(seed, ticks) for seed in range(slots)]
    found: list[list[MoshiOutput]] = [[] for _ in range(slots)]
    for tick in range(ticks):
        options = {"text": rule} if rule is not None and tick >= 10 else {}
        work = {0: callers[0].next(), 1: callers[1].next(**options)}
        for slot, out in batch.step(work).items():
            found[slot].append(out)
    batch.close()
    return found


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=1)], ids=["greedy", "sampled"])
def test_words_put_into_one_slot_leave_its_neighbour_as_it_was_bit_by_bit(
    sampling: Sampling, tiny: Path
) -> None:
    free = controlled(tiny, sampling, None)
    told = controlled(tiny, sampling, TextRule(on_pad=77, on_word=77))
    for before, after in zip(free[0], told[0], strict=True):
        assert (before.token, before.text) == (after.token, after.text)
        assert (before.sound is None) == (after.sound is None)
        if before.sound is not None and after.sound is not None:
            assert np.array_equal(before.sound, after.sound)
    assert [out.token for out in told[1][10:]] == [77] * 20
    assert [out.text for out in told[1][11:]] == [77] * 19
    assert [out.token for out in told[1][:10]] == [out.token for out in free[1][:10]]
    later = zip(free[1][12:], told[1][12:], strict=True)
    assert any(not np.array_equal(one.sound, other.sound) for one, other in later)


def test_padding_and_words_can_be_replaced_apart(tiny: Path) -> None:
    found = controlled(tiny, Sampling(seed=2), TextRule(on_word=3))
    assert all(out.token == 3 for out in found[1][10:])
    assert any(out.sampled != 3 for out in found[1][10:])
    found = controlled(tiny, Sampling(seed=2), TextRule(on_pad=9))
    for out in found[1][10:]:
        assert out.token == (9 if out.sampled == 3 else out.sampled)


def test_only_the_allowed_words_are_sampled(tiny: Path) -> None:
    found = controlled(tiny, Sampling(seed=3), TextRule(only=(3, 40, 41)))
    assert {out.sampled for out in found[1][10:]} <= {3, 40, 41}
    assert not {out.sampled for out in found[0][10:]} <= {3, 40, 41}


def test_one_slot_may_be_cooler_than_the_others(tiny: Path) -> None:
    greedy = controlled(tiny, GREEDY, None)
    cool = controlled(tiny, Sampling(temperature=1e-6, seed=4), TextRule(temperature=1e-6))
    warm = controlled(tiny, Sampling(temperature=1e-6, seed=4), None)
    first = [found[1][10].sampled for found in (greedy, cool, warm)]
    assert first[0] != first[2]  # by then the warm one has gone its own way
    assert [out.sampled for out in cool[0]] == [out.sampled for out in warm[0]]


def test_prompts_of_codes_reach_one_slot(tiny: Path) -> None:
    batch = MoshiBatch(load_folder(tiny), 2, GREEDY)
    batch.open()
    codes = tuple(range(8))
    fresh: dict[str, Any] = {"begin": Fresh()}
    for tick in range(12):
        begin = fresh if tick == 0 else {}
        work = {
            0: MoshiInput(speech(0, 12)[tick], **begin),
            1: MoshiInput(codes=codes, audio=(5,) * 8, **begin),
        }
        batch.step(work)
    cache = batch._streams.gen._streaming_state.cache
    assert set(cache[1, 1:9].flatten().tolist()) <= {5, -2}
    assert set(cache[0, 1:9].flatten().tolist()) - {5, -2}
    assert set(cache[1, 9:].flatten().tolist()) <= {*codes, -2}
    batch.close()


# Snapshots.


@pytest.mark.parametrize("steps", [5, 40], ids=["young", "ring-wrapped"])
def test_a_copied_slot_goes_on_exactly_like_the_one_it_was_copied_from(
    steps: int, batch: MoshiBatch, short: Path
) -> None:
    original, other = Caller(1, 60), Caller(2, 80)
    run(batch, [{0: original} for _ in range(steps)])
    kept = batch.snapshot(0)
    assert kept.steps == steps
    run(batch, [{1: other} for _ in range(7)])  # the batch lives on
    copy = Caller(1, 60)
    copy.said = steps
    results = batch.step({2: copy.next(begin=kept), 1: other.next()})
    copy.take(results[2])
    run(batch, [{2: copy, 1: other} for _ in range(15)])
    assert_same(copy.heard, solo(short, original.frames[: steps + 16])[-16:])


def test_a_snapshot_keeps_only_what_is_filled(batch: MoshiBatch) -> None:
    young, old = Caller(1, 60), Caller(1, 60)
    run(batch, [{0: young} for _ in range(2)])
    small = batch.snapshot(0).nbytes
    run(batch, [{1: old} for _ in range(30)])
    assert small < batch.snapshot(1).nbytes


def test_a_snapshot_of_another_model_is_refused(batch: MoshiBatch, tiny: Path) -> None:
    other = MoshiBatch(load_folder(tiny), 1, GREEDY)
    other.open()
    with pytest.raises(EngineError, match="does not fit"):
        batch.step({0: MoshiInput(speech(0, 1)[0], begin=other.snapshot(0))})
    other.close()


# Faults, and long calls.


@pytest.mark.parametrize("stage", ["encode", "decode", "forward_text", "depformer_step"])
def test_after_a_failure_in_any_stage_the_batch_can_begin_anew(
    stage: str, batch: MoshiBatch, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{stage} failed")

    caller = Caller(1, 50)
    run(batch, [{0: caller} for _ in range(5)])
    state = batch._streams.gen._streaming_state
    owner, name = {
        "encode": (batch._mimi, "encode"),
        "decode": (batch._mimi, "decode"),
        "forward_text": (state, "graphed_main"),
        "depformer_step": (state, "graphed_depth"),
    }[stage]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(RuntimeError, match=stage):
            batch.step({0: caller.next()})
    batch.restart()
    after = Caller(2, 20)
    run(batch, [{0: after} for _ in range(20)])
    assert_same(after.heard, solo(short, after.frames))


def test_hundreds_of_steps_leave_no_tensor_behind(batch: MoshiBatch) -> None:
    frames = speech(1, 20)
    work = [{0: MoshiInput(frame), 2: MoshiInput(frame)} for frame in frames]

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    batch.step({0: MoshiInput(frames[0], begin=Fresh()), 2: MoshiInput(frames[0], begin=Fresh())})
    for index in range(50):
        batch.step(work[index % 20])
    before = tensors()
    for index in range(200):
        batch.step(work[index % 20])
    assert tensors() == before
