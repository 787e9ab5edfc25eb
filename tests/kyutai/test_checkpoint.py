"""Checkpoints are loaded by the official loaders, and what is wrong with one is said."""

from __future__ import annotations

import json
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from solo import speech

from coda_voice_plugin import EngineMissingError, VoiceConfig, WeightsError
from coda_voice_plugin.errors import NoDeviceError, WrongModelError
from coda_voice_plugin.kyutai import checkpoint
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import Loaded, device_of, load, load_folder
from coda_voice_plugin.kyutai.frames import Fresh, MoshiInput, Sampling

MODELS = VoiceConfig().models
GREEDY = Sampling(temperature=0.0, text_temperature=0.0)


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """A folder of its own, whose config.json still names the files of the first."""
    return shutil.copytree(tiny, tmp_path / "moved" / "model")


def configured(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def stream(loaded: Loaded, frames: int = 30) -> list[tuple[int, np.ndarray | None]]:
    """Text tokens and sound of one caller."""
    batch = MoshiBatch(loaded, 1, GREEDY)
    batch.open()
    found = []
    for index, frame in enumerate(speech(1, frames)):
        begin = Fresh() if index == 0 else None
        out = batch.step({0: MoshiInput(frame, begin=begin)})[0]
        found.append((out.token, out.sound))
    batch.close()
    return found


def assert_same_stream(one: Loaded, other: Loaded) -> None:
    for (token, sound), (expected, same) in zip(stream(one), stream(other), strict=True):
        assert token == expected
        if sound is not None:
            np.testing.assert_allclose(sound, same, atol=1e-5)


@pytest.mark.parametrize("number_format", ["fp32", "bf16", "int8"])
def test_each_number_format_loads_and_speaks(tiny: Path, number_format: Any) -> None:
    loaded = load(str(tiny), MODELS, "cpu", number_format, kind="dialogue")
    types = {value.dtype for value in loaded.lm.state_dict().values()}
    expected = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}[number_format]
    assert expected in types
    assert number_format in loaded.name
    assert len({token for token, _ in stream(loaded)}) > 3


def test_weights_that_were_published_as_int8_stay_so_with_their_exact_scales(
    tiny: Path, copied: Path
) -> None:
    made = load_folder(tiny, "cpu", "int8")
    weights = {name: value.contiguous() for name, value in made.lm.state_dict().items()}
    save_file(weights, copied / "model.safetensors")
    configured(copied, quantize=True, moshi_name="model.safetensors")
    loaded = load_folder(copied, "cpu", "bf16")
    assert "int8" in loaded.name
    for name, value in loaded.lm.state_dict().items():
        if name.endswith("_scb"):
            assert value.dtype is torch.float32
            assert torch.equal(value, weights[name])
    assert_same_stream(loaded, made)


def test_the_memory_of_the_model_can_be_halved(tiny: Path) -> None:
    assert load_folder(tiny, context=1_500).lm.context == 1_500
    assert load_folder(tiny, context=9_000).lm.context == 3_000


def test_weights_that_foretell_the_user_too_lose_those_steps_and_speak_the_same(
    tiny: Path, copied: Path
) -> None:
    # PersonaPlex's own weights: 16 steps of the depth transformer where stock Moshi has 8
    state = load_file(tiny / "model.safetensors")
    for name, value in list(state.items()):
        head, dot, rest = name.partition(".")
        if head in ("depformer_in", "linears", "depformer_emb"):
            index, _, tail = rest.partition(".")
            state[f"{head}.{int(index) + 8}.{tail}"] = value.clone()
        elif ".gating." in name and head == "depformer":
            before, _, after = name.partition(".gating.")
            index, _, tail = after.partition(".")
            state[f"{before}.gating.{int(index) + 8}.{tail}"] = value.clone()
        elif head == "depformer" and "_projs." in name:
            del state[name]
            if ".0." in name.partition("_projs")[2]:
                joined = "in_proj_weight" if ".in_projs." in name else "out_proj.weight"
                stem = name.partition(".in_projs." if ".in_projs." in name else ".out_projs.")[0]
                kind = "in_projs" if ".in_projs." in name else "out_projs"
                all_steps = [
                    load_file(tiny / "model.safetensors")[f"{stem}.{kind}.{step}.weight"]
                    for step in range(8)
                ]
                state[f"{stem}.{joined}"] = torch.cat([*all_steps, *all_steps])
        assert dot
    save_file(state, copied / "model.safetensors")
    configured(copied, moshi_name="model.safetensors", model_type="personaplex")
    loaded = load_folder(copied)
    assert loaded.takes_prompts
    assert_same_stream(loaded, load_folder(tiny))


def test_a_folder_that_was_moved_still_loads(copied: Path, tiny: Path) -> None:
    names = {"moshi_name": "/gone/model.safetensors", "mimi_name": "/gone/mimi.safetensors"}
    configured(copied, **{key: f"file://{value}" for key, value in names.items()})
    assert_same_stream(load_folder(copied), load_folder(tiny))


def test_a_repository_without_a_config_is_the_7b_model(tiny: Path, tmp_path: Path) -> None:
    from moshi.models import loaders

    for source, name in (
        ("model.safetensors", loaders.MOSHI_NAME),
        ("mimi.safetensors", loaders.MIMI_NAME),
        ("tokenizer.model", loaders.TEXT_TOKENIZER_NAME),
    ):
        shutil.copy(tiny / source, tmp_path / name)
    info = checkpoint._info(checkpoint._read(str(tmp_path), MODELS, "moshi"), "moshi")
    assert info.lm_config is None
    assert info.moshi_weights == tmp_path / loaders.MOSHI_NAME
    with pytest.raises(WrongModelError, match="do not fit together"):
        load_folder(tmp_path)  # these weights are not those of the 7B model


def test_personaplex_is_known_by_its_type_or_its_name(tiny: Path, tmp_path: Path) -> None:
    assert not load_folder(tiny).takes_prompts
    named = shutil.copytree(tiny, tmp_path / "personaplex-7b-v1")
    assert load_folder(named).takes_prompts


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(WeightsError, match="there is no folder /nowhere/moshi"):
        load("/nowhere/moshi", MODELS, "cpu", "fp32")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongModelError, match=r"no config.json and no model.safetensors"):
        load_folder(tmp_path)


def test_a_repository_that_was_not_fetched_names_the_command(tmp_path: Path) -> None:
    models = VoiceConfig(models={"cache_dir": str(tmp_path)}).models
    with pytest.raises(WeightsError, match="coda-voice fetch kyutai/moshika-pytorch-bf16"):
        load("kyutai/moshika-pytorch-bf16", models, "cpu", "bf16")


def test_a_missing_file_is_named(copied: Path) -> None:
    configured(copied, mimi_name="gone.safetensors")
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        load_folder(copied)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 40),
        lambda folder: (folder / "model.safetensors").write_bytes(
            (folder / "model.safetensors").read_bytes()[:-100]
        ),
        lambda folder: shutil.copy(folder / "mimi.safetensors", folder / "model.safetensors"),
        lambda folder: (folder / "tokenizer.model").write_text("no tokenizer"),
        lambda folder: (folder / "mimi.json").write_text("{}"),
        lambda folder: configured(folder, num_layers=3),
        lambda folder: configured(folder, delays=[0, 1]),
        lambda folder: configured(folder, unheard_of=1),
    ],
    ids=["zeros", "cut off", "another model", "tokenizer", "codec", "layers", "delays", "key"],
)
def test_a_damaged_checkpoint_is_told_by_its_folder(copied: Path, spoil: Any) -> None:
    names = {"moshi_name": "model.safetensors", "mimi_name": "mimi.safetensors"}
    more = {"tokenizer_name": "tokenizer.model", "mimi_config_name": "mimi.json"}
    configured(copied, **names, **more)
    load_folder(copied)
    spoil(copied)
    with pytest.raises(WrongModelError, match=f"{copied} cannot be loaded.*fetch it again"):
        load_folder(copied)


def test_a_config_that_is_not_json_is_told(copied: Path) -> None:
    (copied / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="is not JSON"):
        load_folder(copied)


def test_a_model_of_another_kind_names_the_setting_that_it_belongs_to(copied: Path) -> None:
    configured(copied, model_type="stt")
    with pytest.raises(WrongModelError, match=r"is a recogniser, not a dialogue.*kyutai.stt_model"):
        load_folder(copied, kind="dialogue")
    configured(copied, model_type="singer")
    with pytest.raises(WrongModelError, match="type 'singer', unknown"):
        load_folder(copied, kind="dialogue")


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == "cpu"
    assert device_of("cpu") == "cpu"
    with pytest.raises(NoDeviceError, match="no CUDA device"):
        device_of("cuda")


@pytest.mark.parametrize("package", ["torch", "moshi", "sentencepiece"])
def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, package: str
) -> None:
    real = checkpoint.find_spec

    def find(name: str) -> ModuleSpec | None:
        return None if name == package else real(name)

    monkeypatch.setattr(checkpoint, "find_spec", find)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[moshi\]") as caught:
        load_folder(tiny)
    assert caught.value.package == package


def test_int8_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> None:
    real = checkpoint.find_spec
    monkeypatch.setattr(
        checkpoint, "find_spec", lambda name: None if name == "bitsandbytes" else real(name)
    )
    with pytest.raises(EngineMissingError, match="bitsandbytes"):
        load_folder(tiny, "cpu", "int8")
