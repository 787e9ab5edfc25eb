"""What each slot's text and sound may be in a step, through moshi's own hooks.

The hooks edit the sampled tensors in place, row by row, on the model's device: a rule
that depends on what the model chose is decided there, so that a step never waits for
the host in its middle.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .frames import MoshiInput, TextRule

OWN = -1
"""In a row of choices: the model's own."""


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
