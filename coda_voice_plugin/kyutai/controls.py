"""What each slot's text and sound may be in a step, through moshi's own hooks.

The hooks edit the sampled tensors in place, row by row, on the model's device: a rule
that depends on what the model chose is decided there, so that a step never waits for
the host in its middle. What a slot is told goes in by a condition of moshi's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import EngineError
from .frames import MoshiInput, TextRule

OWN = -1
"""In a row of choices: the model's own."""
_ORACLE = "oracle"


class Controls:
    """Rules for all slots of one batch. Lives on the model's thread.

    ``padding`` is the text token that stands for silence; ``temperature`` the batch's.
    """

    def __init__(
        self,
        slots: int,
        device: str,
        *,
        padding: int,
        text_card: int,
        codes: int,
        temperature: float,
    ) -> None:
        self._padding = padding
        self._temperature = temperature
        self._text_card = text_card
        self._device = device
        self._choices = torch.full((2, slots), OWN, dtype=torch.long)
        self._on_device = self._choices.to(device)
        self._allowed = torch.ones(slots, text_card, dtype=torch.bool, device=device)
        self._limited: set[int] = set()
        self._scale = torch.ones(slots, dtype=torch.float32, device=device)
        self._scaled: set[int] = set()
        self._audio = torch.full((slots, codes), OWN, dtype=torch.long, device=device)
        self._forced: set[int] = set()
        self._chooses = False
        self.sampled = torch.zeros(slots, dtype=torch.long, device=device)
        """What the model chose by itself in the latest step."""
        self.tokens = torch.zeros(slots, dtype=torch.long, device=device)
        """What became of it."""

    def set(self, work: Mapping[int, MoshiInput]) -> None:
        """Take the rules of the coming step; slots that sit it out have none."""
        self._choose({slot: each.text for slot, each in work.items()})
        self._limit({slot: each.text.only for slot, each in work.items() if each.text.only})
        self._warm(
            {
                slot: each.text.temperature
                for slot, each in work.items()
                if each.text.temperature is not None
            }
        )
        self._force({slot: each.audio for slot, each in work.items() if each.audio is not None})

    # The hooks, called by LMGen within a step.

    def on_text_logits(self, logits: torch.Tensor) -> None:
        """``[slots, 1, 1, text_card]``, before sampling."""
        if self._scaled:
            logits.mul_(self._scale.to(logits.dtype)[:, None, None, None])
        if self._limited:
            logits.masked_fill_(~self._allowed[:, None, None, :], float("-inf"))

    def on_text(self, tokens: torch.Tensor) -> None:
        """``[slots]``, after sampling and before the sound is formed."""
        self.sampled.copy_(tokens)
        if self._chooses:
            on_pad, on_word = self._on_device
            chosen = torch.where(tokens == self._padding, on_pad, on_word)
            tokens.copy_(torch.where(chosen == OWN, tokens, chosen))
        self.tokens.copy_(tokens)

    def on_audio(self, codes: torch.Tensor) -> None:
        """``[slots, dep_q]``, after the sound's codes were chosen."""
        if self._forced:
            codes.copy_(torch.where(self._audio == OWN, codes, self._audio))

    # The rows.

    def _choose(self, rules: Mapping[int, TextRule]) -> None:
        given = {
            slot: (rule.on_pad, rule.on_word)
            for slot, rule in rules.items()
            if rule.on_pad is not None or rule.on_word is not None
        }
        if not given and not self._chooses:
            return
        self._chooses = bool(given)
        self._choices.fill_(OWN)
        for slot, choices in given.items():
            for row, choice in enumerate(choices):
                if choice is not None:
                    self._choices[row, slot] = choice
        self._on_device.copy_(self._choices)

    def _limit(self, given: Mapping[int, tuple[int, ...]]) -> None:
        for slot in self._limited - given.keys():
            self._allowed[slot] = True
        for slot, only in given.items():
            self._allowed[slot] = False
            self._allowed[slot, torch.tensor(only, device=self._device)] = True
        self._limited = set(given)

    def _warm(self, given: Mapping[int, float]) -> None:
        """LMGen divides by the batch's temperature; a slot's own is put in its place.

        In a batch that takes the likeliest there is nothing to divide by, and nothing changes.
        """
        for slot in self._scaled - given.keys():
            self._scale[slot] = 1.0
        for slot, temperature in given.items():
            self._scale[slot] = self._temperature / max(temperature, 1e-3) or 1.0
        self._scaled = set(given)

    def _force(self, given: Mapping[int, tuple[int, ...]]) -> None:
        for slot in self._forced - given.keys():
            self._audio[slot] = OWN
        for slot, codes in given.items():
            self._audio[slot] = torch.tensor(codes, device=self._device)
        self._forced = set(given)


class Oracle:
    """One oracle token for each slot, added to what the model hears. Lives on the model's thread.

    KAME adds the row of an oracle token to that of the text token in each step, and the row of
    padding where nothing is told (SakanaAI/kame at babaa58, src/kame/models/lm.py: forward_text
    and LMGen._step). moshi adds a condition of each slot to its input in each step: the same
    sum, in another order. ``table`` is ``Loaded.oracle``, None where nothing can be told.
    """

    def __init__(self, lm: Any, table: Any | None, slots: int, device: str) -> None:
        self._table = table
        self._filler = lm.text_padding_token_id
        self._last = lm.text_initial_token_id
        self._slots = slots
        self._device = device
        self._tokens = torch.full((slots, 1), self._filler, pin_memory=device.startswith("cuda"))

    def conditions(self, lm: Any) -> dict[str, Any]:
        """What LMGen is opened with; prepares ``lm`` to be told."""
        if self._table is None:
            return {}
        from moshi.conditioners.base import ConditionFuser, ConditionType

        lm.fuser = ConditionFuser({"sum": [_ORACLE], "cross": [], "prepend": []})
        mask = torch.ones(self._slots, 1, dtype=torch.bool, device=self._device)
        return {_ORACLE: ConditionType(self._rows(), mask)}

    def set(self, work: Mapping[int, MoshiInput], state: Any) -> None:
        """Put the tokens of the coming step into ``state``, which is LMGen's.

        Raises EngineError for a token that the weights do not know.
        """
        told = {slot: each.oracle for slot, each in work.items() if each.oracle is not None}
        if self._table is None:
            if told:
                raise EngineError("moshi", "these weights have no oracle stream.")
            return
        self._tokens.fill_(self._filler)
        for slot, token in told.items():
            if not 0 <= token <= self._last:
                raise EngineError("moshi", f"{token} is no oracle token of these weights.")
            self._tokens[slot] = token
        state.condition_sum.copy_(self._rows())

    def _rows(self) -> torch.Tensor:
        """``[slots, 1, dim]``"""
        assert self._table is not None
        rows: torch.Tensor = self._table(self._tokens.to(self._device, non_blocking=True))
        return rows
