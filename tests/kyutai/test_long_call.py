"""A call that goes on long after the model has forgotten how it began.

An hour of it is ``benchmarks/moshi_hour.py``.
"""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from small import opened, small_moshi
from solo import speech

from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.frames import Fresh
from coda_voice_plugin.kyutai.line import Spoken
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot

CONTEXT = 16
ROUNDS = 25
"""How often the model's ring of memory goes round."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_moshi(tmp_path_factory.mktemp("long"), context=CONTEXT)


def live(batch: MoshiBatch, slot: MoshiSlot, frames: list[np.ndarray]) -> list[Spoken]:
    """Step once for each frame; return what was said meanwhile."""
    for frame in frames:
        slot.push(frame)
        given = slot.gather()
        assert given is not None
        slot.give(batch.step({0: given})[0])
    return [slot._speech._waiting.popleft() for _ in range(slot.waiting)]


def held() -> tuple[int, int, int]:
    """Objects, tensors, and bytes of tensors that are alive."""
    gc.collect()
    objects = gc.get_objects()
    # not isinstance, which would wake lazy modules
    tensors = [each for each in objects if issubclass(type(each), torch.Tensor)]
    return len(objects), len(tensors), sum(each.nbytes for each in tensors)


def test_memory_stays_as_it_is_and_speech_goes_on(folder: Path) -> None:
    with opened(folder, 1) as batch:
        tokenizer = batch.loaded.tokenizer
        slot = MoshiSlot(Script(tokenizer), Monologue(tokenizer), Fresh(), lambda left: None)
        frames = speech(1, CONTEXT)
        live(batch, slot, frames * 3)
        objects, *tensors = held()
        lately: list[list[int]] = []
        for number in range(ROUNDS):
            spoken = live(batch, slot, frames)
            assert len(spoken) == CONTEXT
            for each in spoken:
                assert np.isfinite(each.sound).all()
            loudness = [float(np.abs(each.sound).max()) for each in spoken]
            assert 1e-3 < max(loudness) < 10
            lately.append([round(1e6 * each) for each in loudness])
            if number % 10 == 0:
                slot.say("hello how are you")
            del spoken, each
        assert lately[-1] != lately[-2]  # it is not caught in a loop
        after, *tensors_after = held()
        assert tensors_after == tensors
        # the words that were given are reported, and little else is kept
        assert after - objects < 200
        assert slot.report().said[-1].text == "you"


def test_the_count_would_notice_one_tensor_kept_in_each_step(folder: Path) -> None:
    with opened(folder, 1) as batch:
        tokenizer = batch.loaded.tokenizer
        slot = MoshiSlot(Script(tokenizer), Monologue(tokenizer), Fresh(), lambda left: None)
        live(batch, slot, speech(1, 4))
        kept = []
        before = held()
        for frame in speech(2, 4):
            live(batch, slot, [frame])
            kept.append(torch.from_numpy(frame))
        assert held()[1] == before[1] + len(kept)
