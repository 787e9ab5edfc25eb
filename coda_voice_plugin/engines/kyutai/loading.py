"""A recogniser or a voice, loaded for so many slots."""

from __future__ import annotations

import logging
from pathlib import Path

from coda_voice_plugin import ModelTooBigError, VoiceConfig
from coda_voice_plugin.kyutai.checkpoint import (
    Kind,
    Loaded,
    device_of,
    load,
)
from coda_voice_plugin.kyutai.memory import footprint
from coda_voice_plugin.weights import is_folder

NAME = "kyutai"
_GB = 1e9

logger = logging.getLogger(__name__)


def load_for(config: VoiceConfig, model: str, kind: Kind, slots: int, setting: str) -> Loaded:
    """Load ``model``; ``setting`` is where the number of ``slots`` stands. Blocks for seconds.

    Raises EngineMissingError, NoDeviceError, WeightsError, WrongModelError, or
    ModelTooBigError when so many slots do not fit.
    """
    settings = config.kyutai
    device = device_of(settings.device, NAME)
    number_format = settings.optimization
    if kind == "voice" and number_format == "int8":
        logger.warning("kyutai: int8 is not possible for the voice (cross-attention); it is bf16")
        number_format = "bf16"
    loaded = load(model, config.models, device, number_format, kind=kind, engine=NAME)
    shape = footprint(loaded)
    if device != "cpu":
        import torch

        free, _ = torch.cuda.mem_get_info()
        most = shape.slots_in(free + shape.weights)
        if most < slots:
            smaller = f"set {setting} to {most}, or " if most else ""
            raise ModelTooBigError(
                NAME,
                f"{shape.arithmetic(slots)}, and the card has {(free + shape.weights) / _GB:.1f} "
                f"GB left; {smaller}free the card.",
                need=shape.total(slots),
                have=free + shape.weights,
            )
    logger.info("kyutai: %s on %s, %s", loaded.name, device, shape.arithmetic(slots))
    return loaded


def label(model: str) -> str:
    """For people: ``kyutai stt-1b-en_fr``."""
    return f"{NAME} {Path(model).name}"


def weights(model: str) -> tuple[tuple[str, ...], ...]:
    """What has to be fetched for ``model``."""
    return () if is_folder(model) else ((model,),)
