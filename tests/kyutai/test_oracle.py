"""What a model with an oracle stream hears of it: the sum of KAME, in one slot at a time.

The reference is upstream's own loop for one caller, over a model whose text embedding adds the
oracle's, as KAME's does: it knows nothing of conditions, slots and masks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moshi.models.lm import LMGen
from moshi.utils.compile import no_compile
from safetensors.torch import load_file, save_file
from solo import Heard, assert_same, is_same, speech
from test_batch import GREEDY, Caller

from coda_voice_plugin import EngineError
from coda_voice_plugin.errors import WrongModelError
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import Loaded, load_folder
from coda_voice_plugin.kyutai.frames import Fresh, MoshiInput, MoshiOutput
from coda_voice_plugin.kyutai.memory import footprint
from coda_voice_plugin.kyutai.script import PAD
from coda_voice_plugin.testing.checkpoints import VOCABULARY, tiny_moshi

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.bfloat16}
Told = Mapping[int, int]
"""Tick and token."""
START = VOCABULARY
WORDS: Told = {5: START, 6: 40, 7: 41, 8: 42, 12: 77, 13: 200}


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with an oracle stream that remembers 16 steps."""
    return tiny_moshi(tmp_path_factory.mktemp("knowing"), context=16, oracle=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights without it."""
    return tiny_moshi(tmp_path_factory.mktemp("plain"), context=16)


@pytest.fixture
def copied(knowing: Path, tmp_path: Path) -> Path:
    """A folder of its own, to be spoiled."""
    folder = shutil.copytree(knowing, tmp_path / "knowing")
    return configured(folder, moshi_name="model.safetensors")


def configured(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def opened(loaded: Loaded, slots: int = 3) -> Iterator[MoshiBatch]:
    batch = MoshiBatch(loaded, slots, GREEDY)
    batch.open()
    yield batch
    batch.close()


@pytest.fixture
def batch(knowing: Path) -> Iterator[MoshiBatch]:
    yield from opened(load_folder(knowing))


class Summed(torch.nn.Module):
    """KAME's text embedding: that of the text, and that of one oracle token."""

    def __init__(self, text: torch.nn.Module, oracle: torch.Tensor) -> None:
        super().__init__()
        self.text = text
        self.oracle = oracle
        self.token = PAD

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.text(ids) + self.oracle[self.token]


def reference(plain: Path, knowing: Path, frames: list[np.ndarray], told: Told) -> Heard:
    """What one caller alone hears from such a model that is told ``told``."""
    loaded = load_folder(plain)
    table = load_file(knowing / "model.safetensors")["oracle_emb.weight"]
    loaded.lm.text_emb = summed = Summed(loaded.lm.text_emb, table)
    gen = LMGen(loaded.lm, use_sampling=False, support_out_of_sync=True)
    heard: Heard = []
    with torch.no_grad(), no_compile(), loaded.mimi.streaming(1), gen.streaming(1):
        for tick, frame in enumerate(frames):
            summed.token = told.get(tick, PAD)
            out = gen.step(loaded.mimi.encode(torch.from_numpy(frame).view(1, 1, -1)))
            if not (out == loaded.lm.ungenerated_token_id).any():
                sound = loaded.mimi.decode(out[:, 1:])
                heard.append((int(out[0, 0, 0]), sound[0, 0].numpy().copy()))
    return heard


def run(
    batch: MoshiBatch, callers: dict[int, Caller], ticks: int, told: Mapping[int, Told]
) -> list[dict[int, MoshiOutput]]:
    """Everybody talks for ``ticks``, and each slot is told its own."""
    log = []
    for tick in range(ticks):
        work = {
            slot: caller.next(oracle=told.get(slot, {}).get(tick))
            for slot, caller in callers.items()
        }
        log.append(batch.step(work))
        for slot, out in log[-1].items():
            callers[slot].take(out)
    return log


def three(ticks: int = 40) -> dict[int, Caller]:
    return {slot: Caller(slot + 1, ticks) for slot in range(3)}


# Checkpoints.


@pytest.mark.parametrize("number_format", FORMATS)
def test_the_table_is_kept_beside_a_model_that_is_otherwise_the_same(
    knowing: Path, plain: Path, number_format: Any
) -> None:
    loaded, stock = (load_folder(each, "cpu", number_format) for each in (knowing, plain))
    table = load_file(knowing / "model.safetensors")["oracle_emb.weight"]
    assert stock.oracle is None
    assert loaded.oracle is not None
    assert table.shape == (VOCABULARY + 1, loaded.lm.dim)
    assert torch.equal(loaded.oracle.weight, table.to(FORMATS[number_format]))
    state, same = loaded.lm.state_dict(), stock.lm.state_dict()
    assert state.keys() == same.keys()
    assert all(torch.equal(value, same[name]) for name, value in state.items())
    more = footprint(loaded).weights - footprint(stock).weights
    assert more == loaded.oracle.weight.nbytes


def test_weights_published_as_int8_keep_their_table_as_it_is(knowing: Path, copied: Path) -> None:
    made = load_folder(knowing, "cpu", "int8")
    weights = {name: value.contiguous() for name, value in made.lm.state_dict().items()}
    weights["oracle_emb.weight"] = made.oracle.weight.clone()
    save_file(weights, copied / "model.safetensors")
    loaded = load_folder(configured(copied, quantize=True))
    assert "int8" in loaded.name
    assert torch.equal(loaded.oracle.weight, made.oracle.weight)


def test_a_table_of_another_size_is_refused(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    weights["oracle_emb.weight"] = weights["oracle_emb.weight"][:-1].clone()
    save_file(weights, copied / "model.safetensors")
    with pytest.raises(WrongModelError, match="do not fit together"):
        load_folder(copied)


def test_a_model_of_another_kind_has_no_place_for_a_table(copied: Path) -> None:
    load_folder(copied)
    with pytest.raises(WrongModelError, match="oracle_emb"):
        load_folder(configured(copied, model_type="stt"))


@pytest.mark.parametrize(
    "more", [{"conditioners": {"mood": {}}}, {"lora": True, "lora_name": "lora.safetensors"}]
)
def test_a_table_beside_what_cannot_be_loaded_with_it_is_refused(
    copied: Path, more: dict[str, Any]
) -> None:
    shutil.copy(copied / "model.safetensors", copied / "lora.safetensors")
    with pytest.raises(WrongModelError, match="oracle stream together with"):
        load_folder(configured(copied, **more))


# The sum.


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_the_model_hears_the_sum_of_all_embeddings(knowing: Path, number_format: Any) -> None:
    loaded = load_folder(knowing, "cpu", number_format)
    lm, table = loaded.lm, loaded.oracle.weight
    ids: dict[int, torch.Tensor] = {}
    heard: list[torch.Tensor] = []
    for stream, embedding in enumerate([lm.text_emb, *lm.emb]):
        embedding.register_forward_pre_hook(
            lambda module, given, stream=stream: ids.update({stream: given[0].clone()})
        )
    lm.transformer.register_forward_pre_hook(lambda module, given: heard.append(given[0].clone()))
    batch = MoshiBatch(loaded, 3, GREEDY)
    batch.open()
    tables = [lm.text_emb.weight, *(embedding.weight for embedding in lm.emb)]
    for tick in range(12):
        token = WORDS.get(tick)
        given = {slot: MoshiInput(speech(slot, 1)[0]) for slot in range(3)}
        given[1] = MoshiInput(speech(1, 1)[0], oracle=token)
        batch.step(given)
        told = torch.tensor([PAD, PAD if token is None else token, PAD])
        rows = [tables[stream][ids[stream][:, 0]] for stream in range(len(tables))]
        expected = torch.stack([*rows, table[told]]).float().sum(0)
        exact = 1e-5 if number_format == "fp32" else 0.03  # 17 roundings to 8 bits
        torch.testing.assert_close(heard[-1][:, 0].float(), expected, atol=exact, rtol=0)
    batch.close()


def test_a_told_slot_says_what_it_would_say_alone_and_the_others_too(
    batch: MoshiBatch, plain: Path, knowing: Path
) -> None:
    callers, told = three(), {0: WORDS, 2: {tick + 9: token for tick, token in WORDS.items()}}
    run(batch, callers, 40, told)
    for slot, caller in callers.items():
        alone = reference(plain, knowing, caller.frames, told.get(slot, {}))
        assert len({token for token, _ in alone}) > 5
        assert_same(caller.heard, alone)
    untold = reference(plain, knowing, callers[0].frames, {})
    assert is_same(callers[0].heard[:4], untold[:4])
    assert not is_same(callers[0].heard, untold)  # else being told would mean nothing


def test_telling_one_slot_leaves_the_others_as_they_are_bit_by_bit(knowing: Path) -> None:
    tellings: list[dict[int, Told]] = [{}, {1: WORDS}]
    logs = [
        run(batch, three(), 40, told) for told in tellings for batch in opened(load_folder(knowing))
    ]
    changed = [one[1].token != other[1].token for one, other in zip(*logs, strict=True)]
    assert any(changed)
    assert not any(changed[: min(WORDS)])
    for one, other in zip(*logs, strict=True):
        for slot in (0, 2):
            assert (one[slot].token, one[slot].text) == (other[slot].token, other[slot].text)
            if one[slot].sound is not None:
                assert np.array_equal(one[slot].sound, other[slot].sound)


def test_a_slot_that_sits_out_hears_nothing_of_what_others_are_told(
    batch: MoshiBatch, plain: Path, knowing: Path
) -> None:
    late, caller = Caller(1, 30), Caller(2, 40)
    for tick in range(40):
        work = {1: caller.next(oracle=WORDS.get(tick))}
        if not 4 <= tick < 14:
            work[0] = late.next()
        for slot, out in batch.step(work).items():
            (late, caller)[slot].take(out)
    assert_same(late.heard, reference(plain, knowing, late.frames, {}))


def test_a_new_occupant_is_told_nothing_of_what_the_last_one_was(
    batch: MoshiBatch, plain: Path, knowing: Path
) -> None:
    run(batch, {0: Caller(1, 9)}, 9, {0: WORDS})
    after = Caller(2, 20)
    run(batch, {0: after}, 20, {})
    assert_same(after.heard, reference(plain, knowing, after.frames, {}))


def test_a_copy_remembers_what_was_told_and_is_not_told_on(batch: MoshiBatch) -> None:
    caller = Caller(5, 40)
    run(batch, {0: caller}, 9, {0: WORDS})
    kept = batch.snapshot(0)
    for tick in range(9, 40):
        begin = kept if tick == 9 else None
        frame = caller.frames[tick]
        out = batch.step({0: MoshiInput(frame), 2: MoshiInput(frame, begin=begin)})
        assert out[0].token == out[2].token
        if out[0].sound is not None:
            np.testing.assert_allclose(out[0].sound, out[2].sound, atol=1e-5)


def test_after_a_failure_a_batch_can_be_told_again(
    batch: MoshiBatch, plain: Path, knowing: Path
) -> None:
    run(batch, three(), 7, {1: WORDS})
    batch.restart()
    callers = three(20)
    run(batch, callers, 20, {1: WORDS})
    for slot, caller in callers.items():
        told = WORDS if slot == 1 else {}
        assert_same(caller.heard, reference(plain, knowing, caller.frames, told))


@pytest.mark.parametrize("token", [-1, START + 1])
def test_a_token_that_the_table_does_not_know_is_refused(batch: MoshiBatch, token: int) -> None:
    frame = speech(1, 1)[0]
    batch.step({0: MoshiInput(frame, begin=Fresh(), oracle=START)})
    with pytest.raises(EngineError, match=f"{token} is no oracle token"):
        batch.step({0: MoshiInput(frame, oracle=token)})


def test_weights_without_a_table_cannot_be_told(plain: Path) -> None:
    for batch in opened(load_folder(plain), 1):
        with pytest.raises(EngineError, match="no oracle stream"):
            batch.step({0: MoshiInput(speech(1, 1)[0], oracle=START)})
