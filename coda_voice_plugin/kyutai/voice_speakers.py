"""Whose voice a slot speaks with: what the model is told of a speaker, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError, WrongModelError
from .checkpoint import Loaded

NAME = "kyutai"
STRENGTH = 2.0
"""How closely the model follows the speaker (the coefficient of guidance that was distilled into
it): Kyutai's own default."""


@dataclass(frozen=True, slots=True, eq=False)
class Speaker:
    """What the model is told of one speaker; tensors on its device, one row each."""

    name: str
    sum: Any
    """Added to every step, ``[1, 1, width]``; None in a model without."""
    cross: Any
    """Looked at in every step (cross-attention), ``[1, length, width]``."""


class Speakers:
    """The speakers of one checkpoint, and the rows of its batch that hold them.

    Raises WrongModelError for a voice that is not told who speaks in this way.
    """

    def __init__(self, loaded: Loaded, tts: Any) -> None:
        if not tts.multi_speaker or not tts.valid_cfg_conditionings:
            raise WrongModelError(
                NAME,
                f"{loaded.name} takes its voice from a recording and not from a speaker's file, "
                'which is not supported; set kyutai.tts_model to "kyutai/tts-1.6b-en_fr".',
            )
        self._lm = loaded.lm
        self._tts = tts
        self._attentions = [
            module
            for module in loaded.lm.modules()
            if getattr(module, "cross_attention", None) is True
        ]
        self._length: int | None = None
        self._rows: list[str] = []
        self.default: Speaker
        """Whose voice the batch was opened with."""

    def read(self, path: Path) -> Speaker:
        """Read a file of ``kyutai/tts-voices``. Raises EngineError for what is none."""
        try:
            attributes = self._tts.make_condition_attributes([path], cfg_coef=STRENGTH)
            given = self._lm.condition_provider.prepare_and_provide([attributes])
        except Exception as error:
            # whatever a damaged file makes its readers raise, it is no voice
            raise self._wrong(
                path, str(error).partition("\n")[0] or type(error).__name__
            ) from error
        fuser = self._lm.fuser
        speaker = Speaker(str(path), fuser.get_sum(given), fuser.get_cross(given))
        length = int(speaker.cross.shape[1])
        if self._length is None:
            self._length = length
        elif length != self._length:
            raise self._wrong(path, f"its length is {length}, that of other voices {self._length}")
        return speaker

    def conditions(self, speaker: Speaker, path: Path, slots: int) -> Any:
        """Upstream's own form, to open a batch with: everybody speaks as ``speaker``."""
        self.default = speaker
        self._rows = [speaker.name] * slots
        attributes = self._tts.make_condition_attributes([path], cfg_coef=STRENGTH)
        return self._lm.condition_provider.prepare_and_provide([attributes] * slots)

    def seat(self, slot: int, speaker: Speaker, state: Any) -> None:
        """Have ``slot`` speak as ``speaker``. ``state`` is LMGen's.

        Keys and values of the cross-attention are computed once and kept by moshi; they are
        renewed in place, so CUDA graphs over them stay valid. The other rows come out as
        they were.
        """
        if self._rows[slot] == speaker.name:
            return
        if speaker.sum is not None:
            state.condition_sum[slot] = speaker.sum[0]
        state.condition_cross[slot] = speaker.cross[0]
        for attention in self._attentions:
            attention.update_streaming_cross_attention_src(state.condition_cross)
        self._rows[slot] = speaker.name

    def _wrong(self, path: Path, why: str) -> EngineError:
        return EngineError(NAME, f"{path.name} is no voice of this model ({why}).")
