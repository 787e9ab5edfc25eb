"""Kyutai's checkpoints: found, checked and loaded by their official loaders."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .. import weights
from ..config import ModelsSettings
from ..config.moshi import Device, NumberFormat
from ..errors import (
    EngineMissingError,
    ModelTooBigError,
    NoDeviceError,
    WrongModelError,
)

Kind = Literal["dialogue", "ear", "voice"]
_KINDS: dict[str, Kind] = {
    "moshi": "dialogue",
    "personaplex": "dialogue",
    "stt": "ear",
    "tts": "voice",
}
_SETTINGS: dict[Kind, str] = {
    "dialogue": "moshi.model_path",
    "ear": "kyutai.stt_model",
    "voice": "kyutai.tts_model",
}
_PERSONAPLEX = "personaplex"
_ORACLE = "oracle_emb."
"""Keys of the table that weights with an oracle stream have beside stock Moshi's (KAME)."""
_GB = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A checkpoint in memory."""

    name: str
    """Which checkpoint in which number format: states fit only into the same."""
    mimi: Any
    """``moshi.models.MimiModel``"""
    lm: Any
    """``moshi.models.LMModel``"""
    tokenizer: Any
    """``sentencepiece.SentencePieceProcessor``"""
    info: Any
    """``moshi.models.loaders.CheckpointInfo``"""
    device: str
    takes_prompts: bool = False
    """Whether the weights were trained to be told who they are (PersonaPlex)."""
    oracle: Any | None = None
    """The table of the oracle stream (``moshi.models.lm_utils.ScaledEmbedding``, ``[text_card + 1,
    dim]``), never quantized; None for weights that were trained without one."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What a checkpoint's config.json says beside the shape of the model."""

    files: weights.CheckpointFiles
    config: dict[str, Any]
    """Empty for the repositories of 2024, which have none."""

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", "moshi"))

    @property
    def takes_prompts(self) -> bool:
        named = (self.model_type, self.files.folder.name, str(self.config.get("model_id", "")))
        return any(_PERSONAPLEX in each.lower() for each in named)


def device_of(wanted: Device, engine: str = "moshi") -> str:
    """ "cuda" or "cpu"; raises NoDeviceError where a GPU is asked for and there is none."""
    require_packages(engine)
    import torch

    if torch.cuda.is_available():
        return "cpu" if wanted == "cpu" else "cuda"
    if wanted == "cuda":
        built = "" if torch.version.cuda else " (this PyTorch was built without CUDA)"
        raise NoDeviceError(
            engine,
            f"no CUDA device is usable{built}; install the NVIDIA driver and a PyTorch with CUDA, "
            "or set the device to auto or cpu, where the full model does not keep up.",
        )
    return "cpu"


def require_packages(engine: str) -> None:
    """Raise EngineMissingError for the first package that is not installed."""
    for package in ("torch", "moshi", "safetensors", "sentencepiece"):
        if find_spec(package) is None:
            raise EngineMissingError(engine, package, "moshi")


def load_folder(
    folder: Path,
    device: str = "cpu",
    number_format: NumberFormat = "fp32",
    *,
    kind: Kind | None = None,
    context: int | None = None,
    engine: str = "moshi",
) -> Loaded:
    """:func:`load` what lies in ``folder``."""
    return load(
        str(folder.resolve()),
        ModelsSettings(),
        device,
        number_format,
        kind=kind,
        context=context,
        engine=engine,
    )


def load(
    model_path: str,
    models: ModelsSettings,
    device: str,
    number_format: NumberFormat,
    *,
    kind: Kind | None = None,
    context: int | None = None,
    engine: str = "moshi",
) -> Loaded:
    """Load a checkpoint, a folder here or a fetched repository: blocks, run it in a thread.

    ``kind`` is what it must be; ``context`` shortens the memory of the language model to
    so many steps of 80 ms. Weights that were published as int8 stay int8. Raises
    WeightsError for files that are missing, WrongModelError for what is no such checkpoint,
    ModelTooBigError when it does not fit into the memory, EngineMissingError.
    """
    require_packages(engine)
    written = _read(model_path, models, engine)
    if kind is not None and _KINDS.get(written.model_type) != kind:
        raise _other_kind(written, kind, engine)
    info = _info(written, engine)
    published = bool((info.lm_config or {}).get("quantize"))
    if published:
        number_format = "int8"
    with _explained(written, engine):
        lm, oracle = _load_lm(info, written, device, number_format, context, engine)
        mimi = info.get_mimi(device)
        tokenizer = info.get_text_tokenizer()
    name = f"{model_path} {number_format} {lm.context}"
    return Loaded(name, mimi, lm, tokenizer, info, device, written.takes_prompts, oracle)


def _read(model_path: str, models: ModelsSettings, engine: str) -> _Written:
    from moshi.models import loaders

    folder = Path(model_path).expanduser()
    names = ("config.json", loaders.MOSHI_NAME)
    here = weights.is_folder(model_path) and folder.is_dir()
    if here and not any((folder / name).is_file() for name in names):
        raise WrongModelError(
            engine, f"{folder} holds no Kyutai checkpoint: it has no {' and no '.join(names)}."
        )
    files = weights.checkpoint(model_path, models)
    return _Written(files, {} if files.config is None else json.loads(files.config.read_text()))


def _info(written: _Written, engine: str) -> Any:
    """Upstream's description of the checkpoint, with every file named: it asks no hub."""
    from moshi.models import loaders

    files = written.files
    if "dim" not in written.config:
        # it tells nothing of the model's shape: Moshi 7B, as upstream takes it
        return loaders.CheckpointInfo(files.moshi, files.mimi, files.tokenizer)
    try:
        return loaders.CheckpointInfo.from_hf_repo(
            "",
            files.moshi,
            files.mimi,
            files.tokenizer,
            files.config,
            files.mimi_config,
            files.lora,
        )
    except (ValueError, TypeError) as error:
        raise _broken(written, error, engine) from error


@contextmanager
def _explained(written: _Written, engine: str) -> Iterator[None]:
    """Turn what the loaders raise into what a person can act on."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        files = written.files
        size = sum(path.stat().st_size for path in (files.moshi, files.mimi))
        free, _ = torch.cuda.mem_get_info()
        raise ModelTooBigError(
            engine,
            f"the weights in {files.folder} ({size / _GB:.1f} GB) do not fit into the "
            f"{free / _GB:.1f} GB that are left of the GPU; use int8 (moshi.optimization), or "
            "free the card.",
            need=size,
            have=free,
        ) from error
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
        OSError,
        SafetensorError,
    ) as error:
        raise _broken(written, error, engine) from error


def _load_lm(
    info: Any,
    written: _Written,
    device: str,
    number_format: NumberFormat,
    context: int | None,
    engine: str,
) -> tuple[Any, Any | None]:
    """The language model, and its table of the oracle stream where it has one."""
    import torch

    dtype = torch.float32 if number_format == "fp32" else torch.bfloat16
    whole = (info.lm_config or {}).get("context") or 3_000
    shorter = {"context": context} if context is not None and context < whole else {}
    told = _KINDS.get(written.model_type) == "dialogue" and _hears_oracle(info, written, engine)
    if number_format == "int8":
        if find_spec("bitsandbytes") is None:
            raise EngineMissingError(engine, "bitsandbytes", "moshi")
        if not (info.lm_config or {}).get("quantize"):
            # through the host's memory: a card that holds int8 need not hold bf16
            if not told:
                lm = info.get_moshi("cpu", dtype, lm_kwargs_overrides=shorter)
                return quantized(lm, device), None
            lm, oracle = _fill(info, "cpu", dtype, shorter, told=True)
            if oracle is not None:
                oracle.to(device)
            return quantized(lm, device), oracle
        # its scales must stay float32: upstream would round them with everything else
        return _fill(info, device, dtype, shorter, keep=("_scb",), told=told)
    if written.takes_prompts or told:
        return _fill(info, device, dtype, shorter, told=told)
    return info.get_moshi(device, dtype, lm_kwargs_overrides=shorter), None


def _hears_oracle(info: Any, written: _Written, engine: str) -> bool:
    """Whether the weights know an oracle stream; raises WrongModelError where it cannot be had."""
    from safetensors import safe_open

    if info.moshi_weights.suffix not in (".safetensors", ".sft", ".sfts"):
        return False
    with safe_open(info.moshi_weights, framework="pt") as weights:  # type: ignore[no-untyped-call]
        found = any(name.startswith(_ORACLE) for name in weights.keys())  # noqa: SIM118
    if found and (info.lora_weights is not None or written.config.get("conditioners")):
        raise WrongModelError(
            engine,
            f"{written.files.folder} has an oracle stream together with LoRA weights or "
            "conditioners, which cannot be loaded here.",
        )
    return found


def quantized(lm: Any, device: str) -> Any:
    """Make the linear layers int8 as upstream's own loader does, one layer after the other."""
    from moshi.utils.quantize import replace_linear_with_qlinear

    for layer in lm.transformer.layers:
        replace_linear_with_qlinear(layer.to(device))  # type: ignore[no-untyped-call]
    lm.to(device)
    replace_linear_with_qlinear(lm)  # type: ignore[no-untyped-call]
    return lm


def _fill(
    info: Any,
    device: str,
    dtype: Any,
    overrides: dict[str, Any],
    keep: tuple[str, ...] = (),
    *,
    told: bool = False,
) -> tuple[Any, Any | None]:
    """Load weights that upstream's loader would spoil or refuse into upstream's model.

    PersonaPlex was trained to foretell the user too: 16 steps of the depth transformer,
    of which a conversation uses the first eight. Weights with an oracle stream (``told``) have
    a table that upstream's model has no place for: it is returned beside the model.
    """
    from safetensors.torch import load_file

    lm = info.get_moshi("meta", dtype, load_weight=False, lm_kwargs_overrides=overrides)
    state = load_file(info.moshi_weights, device=device)
    for key, value in state.items():
        if value.dtype.is_floating_point and not key.endswith(keep or ("\0",)):
            state[key] = value.to(dtype)
    oracle = _set_aside(state, lm) if told else None
    wanted = lm.state_dict()
    for key in list(state):
        if key.startswith(("depformer", "linears")):
            _trim(key, state, wanted)
    lm.load_state_dict(state, assign=True)
    return lm.eval(), oracle


def _set_aside(state: dict[str, Any], lm: Any) -> Any:
    """Take the oracle's table out of ``state``. It is one like that of the text (``lm`` has no
    weights yet, so the copy costs nothing)."""
    rows = {key: state.pop(key) for key in list(state) if key.startswith(_ORACLE)}
    oracle = copy.deepcopy(lm.text_emb)
    oracle.load_state_dict(
        {key.removeprefix(_ORACLE): value for key, value in rows.items()}, assign=True
    )
    return oracle.eval().requires_grad_(False)


def _trim(key: str, state: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Leave out what belongs to the steps of the depth transformer that are not run."""
    joined = {"in_proj_weight": "in_projs", "out_proj.weight": "out_projs"}
    for suffix, parts in joined.items():
        if key.endswith(suffix):
            stem = key.removesuffix(suffix) + parts
            rows = sum(each.shape[0] for name, each in wanted.items() if name.startswith(stem))
            state[key] = state[key][:rows]
            return
    if key not in wanted:
        del state[key]


def _other_kind(written: _Written, wanted: Kind, engine: str) -> WrongModelError:
    folder, found = written.files.folder, _KINDS.get(written.model_type)
    if found is None:
        return WrongModelError(
            engine, f"{folder} is a model of the type {written.model_type!r}, unknown here."
        )
    what = {"dialogue": "a dialogue model", "ear": "a recogniser", "voice": "a voice"}
    return WrongModelError(
        engine,
        f"{folder} is {what[found]}, not {what[wanted]}; it belongs to {_SETTINGS[found]}.",
    )


def _broken(written: _Written, error: Exception, engine: str) -> WrongModelError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return WrongModelError(
        engine,
        f"{written.files.folder} cannot be loaded: its files do not fit together or are damaged "
        f"({why}); fetch it again with `coda-voice fetch`.",
    )
