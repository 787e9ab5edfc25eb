"""Moshi for many: one step of Mimi and LMGen for all the slots that take part in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .checkpoint import Loaded
from .controls import Controls, Oracle
from .frames import FRAME, Fresh, MoshiInput, MoshiOutput, Sampling, Snapshot
from .streams import Streams

WARM_UP = 4
"""Steps before the first call: moshi captures its CUDA graphs in the second."""


class MoshiBatch:
    """A :class:`~.wheel.BatchModel` over a dialogue checkpoint; lives on one thread.

    ``slots`` is fixed for its life. Slots that are not in a step's work stand still, bit
    by bit: their masks keep every state of theirs as it is.
    """

    def __init__(self, loaded: Loaded, slots: int, sampling: Sampling | None = None) -> None:
        self.loaded = loaded
        self.slots = slots
        self.sampling = sampling or Sampling()
        self._streams = Streams(loaded, slots, "moshi")
        self._mimi = loaded.mimi
        self._lm = loaded.lm
        self._controls: Controls
        self._oracle = Oracle(loaded.lm, loaded.oracle, slots, loaded.device)
        pinned = self._streams.cuda
        self._sound_in = torch.zeros(slots, 1, FRAME, pin_memory=pinned)
        self._sound_out = torch.zeros(slots, FRAME, pin_memory=pinned)
        self._tokens_out = torch.zeros(3, slots, dtype=torch.long, pin_memory=pinned)

    def open(self) -> None:
        """Allocate the state of all slots, and step it warm. On the model's thread."""
        if self.sampling.seed is not None:
            torch.manual_seed(self.sampling.seed)
        with self._streams.fitting():  # the graphs take memory of their own
            self._begin()

    def close(self) -> None:
        """Free the state."""
        self._streams.stop()

    def restart(self) -> None:
        """Begin anew after a step that failed anywhere: no slot keeps its state."""
        self._streams.stop()
        self._begin()

    def step(self, work: Mapping[int, MoshiInput]) -> dict[int, MoshiOutput]:
        """One step of 80 ms for the slots in ``work``. Raises whatever the model raises."""
        streams = self._streams
        with streams.quietly():
            streams.begin(
                {slot: each.begin for slot, each in work.items() if each.begin is not None}
            )
            live = streams.mask(work)
            self._mimi.set_exec_mask(live)
            streams.gen.set_exec_mask(live)
            codes = self._encode(work)
            self._controls.set(work)
            self._oracle.set(work, streams.gen._streaming_state)
            out = streams.gen.step(codes)
            return self._leave(work, live, out)

    def encode_alone(self, sound: torch.Tensor) -> list[tuple[int, ...]]:
        """Mimi's codes of a recording ``[n]``, frame by frame, without touching any slot."""
        with self._streams.quietly():
            frames = sound[: len(sound) // FRAME * FRAME].view(1, 1, -1).to(self.loaded.device)
            kept = self._mimi.get_streaming_state()
            self._mimi.set_streaming_state(dict.fromkeys(kept))
            try:
                codes = self._mimi.encode(frames)[0]
            finally:
                self._mimi.set_streaming_state(kept)
            return [tuple(frame) for frame in codes.T.tolist()]

    def snapshot(self, slot: int) -> Snapshot:
        """Copy the state of ``slot``; it goes on unchanged."""
        return self._streams.snapshot(slot)

    # One step, in order.

    def _encode(self, work: Mapping[int, MoshiInput]) -> torch.Tensor:
        for slot, each in work.items():
            if each.sound is None:
                self._sound_in[slot].zero_()
            else:
                self._sound_in[slot, 0] = torch.from_numpy(each.sound)
        codes = self._mimi.encode(self._sound_in.to(self.loaded.device, non_blocking=True))
        given = {slot: each.codes for slot, each in work.items() if each.codes is not None}
        for slot, row in given.items():
            codes[slot, :, 0] = torch.tensor(row, device=codes.device)
        return codes  # type: ignore[no-any-return]

    def _leave(
        self, work: Mapping[int, MoshiInput], live: torch.Tensor, out: torch.Tensor
    ) -> dict[int, MoshiOutput]:
        """Decode, and bring the results to the host in two copies."""
        ready = live & (out[:, :, 0] != self._lm.ungenerated_token_id).all(1)
        # the decoder has its own mask: it must not move where the first frames are on their way
        self._mimi.set_exec_mask(ready)
        sound = self._mimi.decode(out[:, 1:].clamp(min=0))
        text = torch.where(ready, out[:, 0, 0], torch.full_like(out[:, 0, 0], -1))
        self._tokens_out[0].copy_(self._controls.sampled, non_blocking=True)
        self._tokens_out[1].copy_(self._controls.tokens, non_blocking=True)
        self._tokens_out[2].copy_(text, non_blocking=True)
        self._sound_out.copy_(sound[:, 0], non_blocking=True)
        if self._streams.cuda:
            torch.cuda.current_stream().synchronize()
        sounds = self._sound_out.numpy()
        results = {}
        sampled, tokens, texts = self._tokens_out.tolist()
        for slot in work:
            self._streams.steps[slot] += 1
            is_ready = texts[slot] >= 0
            results[slot] = MoshiOutput(
                sampled=sampled[slot],
                token=tokens[slot],
                text=texts[slot] if is_ready else None,
                sound=sounds[slot].copy() if is_ready else None,
            )
        return results

    def _begin(self) -> None:
        from moshi.models.lm import LMGen

        chosen, lm = self.sampling, self._lm
        self._controls = Controls(
            self.slots,
            self.loaded.device,
            padding=lm.text_padding_token_id,
            text_card=lm.text_card,
            codes=lm.dep_q,
            temperature=chosen.text_temperature,
        )
        gen = LMGen(
            lm,
            use_sampling=not chosen.greedy,
            temp=chosen.temperature,
            temp_text=chosen.text_temperature,
            top_k=chosen.top_k,
            top_k_text=chosen.text_top_k,
            condition_tensors=self._oracle.conditions(lm),
            on_text_logits_hook=self._controls.on_text_logits,
            on_text_hook=self._controls.on_text,
            on_audio_hook=self._controls.on_audio,
            # else one caller's join would be a hole of 80 ms for all the others
            support_out_of_sync=True,
        )
        with self._streams.quietly():
            self._streams.start(gen)
        everybody = range(self.slots)
        for _ in range(WARM_UP if self._streams.cuda else 1):
            self.step({slot: MoshiInput() for slot in everybody})
        with self._streams.quietly():
            self._streams.begin({slot: Fresh() for slot in everybody})
