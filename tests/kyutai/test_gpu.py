"""The same promises on a CUDA card: run with ``pytest -m gpu tests/kyutai``.

moshi captures CUDA graphs there; the masks, resets and copies of slots act on memory that
those graphs use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from solo import Heard, assert_same, is_same, speech
from test_batch import GREEDY, Caller, run, staggered

from coda_voice_plugin import ModelTooBigError, VoiceConfig
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import Fresh, MoshiInput
from coda_voice_plugin.kyutai.memory import footprint
from coda_voice_plugin.kyutai.moshi import MoshiEngine
from coda_voice_plugin.testing.checkpoints import tiny_moshi

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_moshi(tmp_path_factory.mktemp("cuda"), context=16)


def opened(folder: Path, number_format: str = "fp32", slots: int = 3) -> Iterator[MoshiBatch]:
    batch = MoshiBatch(load_folder(folder, "cuda", number_format), slots, GREEDY)
    batch.open()
    yield batch
    batch.close()


@pytest.fixture(params=["fp32", "bf16", "int8"])
def batch(folder: Path, request: pytest.FixtureRequest) -> Iterator[MoshiBatch]:
    yield from opened(folder, request.param)


def alone(batch: MoshiBatch, frames: list[np.ndarray], slot: int = 0) -> Heard:
    """What a caller hears with nobody beside it: the same kernels, so the same bits."""
    heard: Heard = []
    for index, frame in enumerate(frames):
        given = MoshiInput(frame, begin=Fresh() if index == 0 else None)
        out = batch.step({slot: given})[slot]
        if out.sound is not None and out.text is not None:
            heard.append((out.text, out.sound))
    return heard


def test_joining_leaving_pausing_and_reusing_a_slot_changes_nothing(batch: MoshiBatch) -> None:
    plan, callers = staggered()
    run(batch, plan)
    for caller in callers:
        assert len({token for token, _ in caller.heard}) > 5
        assert_same(caller.heard, alone(batch, caller.frames[: caller.said]))


def test_the_comparison_notices_another_caller(batch: MoshiBatch) -> None:
    one, other = Caller(1, 40), Caller(2, 40)
    run(batch, [{0: one, 1: other}] * 40)
    with pytest.raises(AssertionError):
        assert_same(one.heard, alone(batch, other.frames))


def test_a_copied_slot_goes_on_like_the_one_it_was_copied_from(batch: MoshiBatch) -> None:
    caller = Caller(5, 60)
    run(batch, [{0: caller}] * 30)
    kept = batch.snapshot(0)
    for tick in range(30, 60):
        begin = kept if tick == 30 else None
        frame = caller.frames[tick]
        out = batch.step({0: MoshiInput(frame), 2: MoshiInput(frame, begin=begin)})
        assert out[0].token == out[2].token
        np.testing.assert_allclose(out[0].sound, out[2].sound, atol=1e-5)


def test_a_slot_that_is_told_something_hears_it_and_the_others_do_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    knowing = tiny_moshi(tmp_path_factory.mktemp("told"), context=16, oracle=True)
    for batch in opened(knowing):
        logs = []
        for told in ({}, {10: 256, 11: 40, 12: 41}):
            callers = {slot: Caller(slot, 40) for slot in range(3)}
            for tick in range(40):
                out = batch.step(
                    {
                        slot: caller.next(oracle=told.get(tick) if slot == 1 else None)
                        for slot, caller in callers.items()
                    }
                )
                for slot, caller in callers.items():
                    caller.take(out[slot])
            logs.append(callers)
        untold, told_one = logs
        for slot in (0, 2):
            assert_same(told_one[slot].heard, untold[slot].heard)
        assert not is_same(told_one[1].heard, untold[1].heard)
        assert is_same(told_one[1].heard[:9], untold[1].heard[:9])


def test_after_a_failure_the_batch_begins_anew(batch: MoshiBatch) -> None:
    frames = speech(3, 30)
    before = alone(batch, frames)
    with pytest.raises(RuntimeError, match="size"):
        batch.step({0: MoshiInput(np.zeros(7, np.float32))})
    batch.restart()
    assert_same(alone(batch, frames), before)


def test_restarts_leave_no_memory_behind(folder: Path) -> None:
    batch = next(opened(folder))
    batch.restart()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(10):
        batch.restart()
    assert torch.cuda.memory_allocated() <= before * 1.05
    batch.close()


async def test_too_many_slots_are_refused_with_the_arithmetic(folder: Path) -> None:
    config = VoiceConfig(
        moshi={"model_path": str(folder), "slots": 100_000, "optimization": "fp32"}
    )
    with pytest.raises(ModelTooBigError, match="100000 x") as caught:
        async with MoshiEngine(config).open():
            pass
    assert caught.value.need > caught.value.have


async def test_the_slots_are_computed_from_the_free_memory(folder: Path) -> None:
    allowed = footprint(load_folder(folder, "cuda")).total(5)
    config = VoiceConfig(
        moshi={"model_path": str(folder), "vram_allocation": allowed, "optimization": "fp32"}
    )
    async with MoshiEngine(config).open() as engine:
        assert engine.capacity == 5
