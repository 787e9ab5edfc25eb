"""What goes into a slot and comes out of it in one tick: the words of this room. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
"""Mono samples, -1.0 to 1.0."""

RATE = 24_000
"""Hertz of everything that Kyutai's models hear and say."""
FRAME = 1_920
"""Samples of a frame: 80 ms, one step of every model."""
FRAME_S = 0.08
"""Seconds of a frame, and of a tick."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A slot begins with nothing behind it: its state is reset before the step."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The whole state of one slot at a moment, apart from the model's weights.

    ``tensors`` belong to the model's device; ``model`` names the checkpoint and the number
    format it was taken from: only a slot of the same may be given it.
    """

    tensors: dict[tuple[str, ...], Any]
    model: str
    steps: int
    """Steps that the state has behind it."""

    @property
    def nbytes(self) -> int:
        return sum(int(tensor.nbytes) for tensor in self.tensors.values())


Begin = Fresh | Snapshot


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a slot's text stream may be in one step; the default leaves it to the model.

    The model first chooses by itself (among ``only``, if given). Where it chose
    padding, ``on_pad`` replaces the choice; where it chose anything else,
    ``on_word`` does. None leaves the choice.
    """

    on_pad: int | None = None
    on_word: int | None = None
    only: tuple[int, ...] | None = None
    """The only tokens that the logits allow."""
    temperature: float | None = None
    """For this slot alone; None is the batch's."""


OWN = TextRule()
"""The model's own words."""


@dataclass(frozen=True, slots=True, eq=False)
class MoshiInput:
    """What one slot of a dialogue model gets in one step."""

    sound: Floats | None = None
    """80 ms of the user, ``[1920]``; or give ``codes``."""
    codes: tuple[int, ...] | None = None
    """The user's frame as Mimi codes, ``[n_q - dep_q]``: for prompts."""
    begin: Begin | None = None
    """How the slot begins; only with the first input of an occupant."""
    text: TextRule = OWN
    audio: tuple[int, ...] | None = None
    """Codes that replace the model's own in this step, ``[dep_q]``, already delayed (codebook k
    gets frame i - delay_k): for prompts."""
    oracle: int | None = None
    """The oracle token of this step; None: nothing to tell. Only for weights with an oracle
    stream."""


@dataclass(frozen=True, slots=True, eq=False)
class MoshiOutput:
    """What one slot of a dialogue model gives after one step."""

    sampled: int
    """The text token that the model chose in this step."""
    token: int
    """The text token of this step after the rule."""
    text: int | None
    """The text token that belongs to ``sound``: of an earlier step by the model's delay."""
    sound: Floats | None
    """80 ms of speech, ``[1920]``; None while the first frames are on their way."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a batch chooses; one for all its slots. Defaults are Kyutai's."""

    temperature: float = 0.8
    """Of the audio tokens; 0 takes the likeliest (for text as well)."""
    text_temperature: float = 0.7
    top_k: int = 250
    text_top_k: int = 25
    seed: int | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0
