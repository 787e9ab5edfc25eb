"""How many calls fit, computed from the shapes of the model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from moshi.models import loaders
from moshi.modules.transformer import RingKVCache

from coda_voice_plugin import ModelTooBigError
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import Loaded, load_folder
from coda_voice_plugin.kyutai.memory import FIXED, SLOT, Footprint, footprint, slots_that_fit

GB = 1_000_000_000
SHAPE = Footprint(weights=16 * GB, per_slot=2 * GB, fixed=1 * GB)


def remembered(folder: Path, slots: int) -> int:
    """Bytes that the ring caches of an opened batch really take."""
    batch = MoshiBatch(load_folder(folder), slots)
    batch.open()
    caches = [
        value
        for module in batch._streams.parts.values()
        for state in module.get_streaming_state().values()
        for value in vars(state).values()
        if isinstance(value, RingKVCache)
    ]
    total = sum(cache.cache.nbytes for cache in caches)
    batch.close()
    return total


def test_what_a_slot_takes_is_what_the_batch_allocates_for_it(tiny: Path) -> None:
    shape = footprint(load_folder(tiny))
    assert remembered(tiny, 3) - remembered(tiny, 2) == shape.per_slot - SLOT


def test_half_the_context_halves_what_a_call_takes(tiny: Path) -> None:
    whole, half = (footprint(load_folder(tiny, context=steps)) for steps in (3_000, 1_500))
    codec = footprint(load_folder(tiny, context=1)).per_slot - SLOT
    assert (half.per_slot - SLOT - codec) * 2 == pytest.approx(
        whole.per_slot - SLOT - codec, rel=1e-3
    )


def test_the_7b_model_takes_what_was_measured_on_an_h100() -> None:
    """Free memory there: 68.50 GB with the weights loaded, 66.52 with one slot and its graphs,
    17.06 with 32 slots; the weights took 15.78 GB."""
    lm = loaders.get_moshi_lm(None, None, device="meta", dtype=torch.bfloat16)
    lm.to(torch.bfloat16)
    config = loaders._mimi_config
    with torch.device("meta"):
        mimi = loaders.get_mimi(None, config, device="meta", num_codebooks=8)
    shape = footprint(Loaded("7B", mimi, lm, None, SimpleNamespace(), "meta"))
    assert shape.weights == pytest.approx(15.78 * GB, rel=0.01)
    for slots, free in ((1, 66.52), (32, 17.06)):
        taken = shape.total(slots) - shape.weights
        assert shape.weights + taken == pytest.approx((15.78 + 68.50 - free) * GB, rel=0.01)
    assert FIXED < GB


def test_as_many_slots_are_opened_as_fit() -> None:
    assert slots_that_fit(SHAPE, 10 * GB, allowed=None, wanted=None) == 4
    assert slots_that_fit(SHAPE, 10 * GB, allowed=None, wanted=3) == 3
    assert slots_that_fit(SHAPE, 60 * GB, allowed=20 * GB, wanted=None) == 1


def test_what_does_not_fit_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ModelTooBigError) as caught:
        slots_that_fit(SHAPE, 10 * GB, allowed=None, wanted=8)
    text = str(caught.value)
    assert "16.0 GB of weights + 1.0 GB to compute with + 8 x 2.00 GB for 8 calls = 33.0 GB" in text
    assert "the card has left 26.0 GB" in text
    assert "set moshi.slots to 4" in text
    assert (caught.value.need, caught.value.have) == (33 * GB, 26 * GB)


def test_a_limit_of_the_settings_is_named_as_such() -> None:
    with pytest.raises(ModelTooBigError, match=r"moshi.vram_allocation allows 8.0 GB") as caught:
        slots_that_fit(SHAPE, 60 * GB, allowed=8 * GB, wanted=None)
    assert "int8" in str(caught.value)
    assert "for 1 call = " in str(caught.value)
