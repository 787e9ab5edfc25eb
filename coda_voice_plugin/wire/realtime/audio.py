"""Sound in the formats of OpenAI's Realtime API: PCM16 at 24 kHz, and G.711 at 8 kHz.

G.711 is the sound of telephones: one byte a sample, mu-law or A-law (ITU-T G.711). Its
steps are looked up in tables that are made once.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import Refusal

Format = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
FORMATS: dict[Format, int] = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}
"""Hertz by format."""
BIAS = 132
"""What mu-law adds to a level, so that each of its eight ranges is twice the one before."""
MU_CLIP = 8_158
"""The loudest level of mu-law, which is made for 14 bits."""

Steps = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]


def read_sound(text: str, form: Format) -> bytes:
    """PCM16 at the rate of ``form``, out of base64; raises Refusal."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal("invalid_value", f"audio must be base64: {error}.", "audio") from error
    if form == "audio/pcm":
        if len(data) % 2:
            message = f"audio must hold whole 16-bit samples; this has {len(data)} bytes."
            raise Refusal("invalid_value", message, "audio")
        return data
    steps: Steps = _levels(form)[np.frombuffer(data, np.uint8)]
    return steps.astype("<i2").tobytes()


def write_sound(pcm: bytes, form: Format) -> str:
    """PCM16 at the rate of ``form``, as base64."""
    if form != "audio/pcm":
        steps = np.frombuffer(pcm, "<i2").astype(np.int32)
        pcm = _codes(form)[steps + 32_768].tobytes()
    return base64.b64encode(pcm).decode("ascii")


@cache
def _levels(form: Format) -> Steps:
    """The level of each of the 256 codes."""
    code: npt.NDArray[Any] = np.arange(256)
    if form == "audio/pcmu":
        code = ~code & 0xFF
        level = ((((code & 0xF) << 3) + BIAS) << ((code >> 4) & 7)) - BIAS
        return np.where(code & 0x80, -level, level).astype(np.int16)
    code = code ^ 0x55
    segment = (code >> 4) & 7
    level = (((code & 0xF) << 4) + np.where(segment, 0x108, 8)) << np.maximum(segment - 1, 0)
    return np.where(code & 0x80, level, -level).astype(np.int16)


@cache
def _codes(form: Format) -> Bytes:
    """The code of each of the 65536 levels, the lowest first."""
    level: npt.NDArray[Any] = np.arange(-32_768, 32_768)
    below = level < 0
    if form == "audio/pcmu":
        size = 4 * np.minimum(np.abs(level >> 2), MU_CLIP) + BIAS
        segment = _segment(size)
        code = (segment << 4) | ((size >> (segment + 3)) & 0xF) | np.where(below, 0x80, 0)
        return np.asarray(~code & 0xFF).astype(np.uint8)
    size = np.where(below, ~level, level)
    segment = _segment(size)
    code = np.where(segment, (segment << 4) | ((size >> (segment + 3)) & 0xF), size >> 4)
    return np.asarray(code ^ np.where(below, 0x55, 0xD5)).astype(np.uint8)


def _segment(size: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The range of a level: 0 below 256, then one more each time that it doubles."""
    bits = np.floor(np.log2(np.maximum(size, 1)))
    return np.asarray(np.maximum(bits - 7, 0)).astype(np.int32)
