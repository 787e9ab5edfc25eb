"""Kyutai's recogniser for many: one step of Mimi and LMGen for all utterances that have sound.

The model writes text beside the sound, ``delay_s`` behind it, and may have heads that
judge in each step how likely it is that the speaker has finished.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import WrongModelError
from .checkpoint import Loaded
from .ear_words import HeardWords
from .frames import FRAME, FRAME_S, Begin, Floats, Fresh, Snapshot
from .streams import Streams

WARM_UP = 4
"""Steps before the first utterance: moshi captures its CUDA graphs in the second."""
SPELLING = 2
"""Steps after the delay in which the last word is spelt, as in Kyutai's own server."""


@dataclass(frozen=True, slots=True, eq=False)
class EarInput:
    """What one utterance gives in one step."""

    sound: Floats
    """80 ms at 24 kHz, ``[1920]``."""
    begin: Begin | None = None
    """How the slot begins: fresh, or where it was when ``keep`` was asked for."""
    keep: bool = False
    """Return the state before this step."""


@dataclass(frozen=True, slots=True, eq=False)
class EarOutput:
    """What one utterance gets from one step."""

    token: int
    pauses: tuple[float, ...]
    """What the model's heads say, 0 to 1; empty for a model without."""
    kept: Snapshot | None = None


class EarBatch:
    """A :class:`~.wheel.BatchModel` over a recogniser's checkpoint; lives on one thread.

    Raises WrongModelError for any other checkpoint.
    """

    def __init__(self, loaded: Loaded, slots: int) -> None:
        stt = loaded.info.stt_config
        if loaded.lm.dep_q != 0 or not stt:
            raise WrongModelError(
                "kyutai",
                f"{loaded.name} is no recogniser; set kyutai.stt_model to one, such as "
                '"kyutai/stt-1b-en_fr".',
            )
        self.delay_s: float = stt["audio_delay_seconds"]
        """How far the text is behind the sound."""
        # the model never hears the first frame, the initial token stands in its place
        self.lead = 1 + math.ceil(stt["audio_silence_prefix_seconds"] / FRAME_S)
        """Frames of silence before the sound; every slot begins behind them."""
        self.flush = math.ceil(self.delay_s / FRAME_S) + SPELLING
        """Frames of silence that bring the last words out."""
        self.slots = slots
        self._streams = Streams(loaded, slots)
        self._led: Snapshot
        self._sound = torch.zeros(slots, 1, FRAME, pin_memory=self._streams.cuda)

    def words(self) -> HeardWords:
        """What reads the text of one utterance."""
        return HeardWords(self._streams.loaded.tokenizer, self.delay_s)

    def open(self) -> None:
        """Allocate the state of all slots, and step it warm. On the model's thread."""
        from moshi.models.lm import LMGen

        streams = self._streams
        gen = LMGen(
            streams.loaded.lm,
            use_sampling=False,  # it writes down what it heard: nothing to be chosen
            temp=0.0,
            temp_text=0.0,
            # else one caller's join would be a hole for all the others
            support_out_of_sync=True,
        )
        silence = torch.zeros(FRAME).numpy()
        with streams.quietly():
            streams.start(gen)
        for _ in range(WARM_UP if streams.cuda else 1):
            self.step({slot: EarInput(silence) for slot in range(self.slots)})
        with streams.quietly():
            streams.begin({0: Fresh()})
        for _ in range(self.lead):
            self.step({0: EarInput(silence)})
        self._led = streams.snapshot(0)

    def close(self) -> None:
        """Free the state."""
        self._streams.stop()

    def restart(self) -> None:
        """Begin anew after a step that failed anywhere: no slot keeps its state."""
        self.close()
        self.open()

    def step(self, work: Mapping[int, EarInput]) -> dict[int, EarOutput]:
        """One step of 80 ms for the slots in ``work``. Raises whatever the model raises."""
        streams = self._streams
        with streams.quietly():
            streams.begin(
                {
                    slot: self._led if isinstance(each.begin, Fresh) else each.begin
                    for slot, each in work.items()
                    if each.begin is not None
                }
            )
            kept = {slot: streams.snapshot(slot) for slot, each in work.items() if each.keep}
            live = streams.mask(work)
            streams.loaded.mimi.set_exec_mask(live)
            streams.gen.set_exec_mask(live)
            for slot, each in work.items():
                self._sound[slot, 0] = torch.from_numpy(each.sound)
            sound = self._sound.to(streams.loaded.device, non_blocking=True)
            text, heads = streams.gen.step_with_extra_heads(streams.loaded.mimi.encode(sound))
            tokens = text[:, 0, 0].tolist()
            pauses = torch.stack([head[:, 0, 0] for head in heads], 1).tolist() if heads else None
        for slot in work:
            streams.steps[slot] += 1
        return {
            slot: EarOutput(tokens[slot], tuple(pauses[slot]) if pauses else (), kept.get(slot))
            for slot in work
        }
