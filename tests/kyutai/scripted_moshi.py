"""A dialogue model without weights: what each slot samples is written down in advance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import numpy as np
from letters import PAD, Letters, tokens

from coda_voice_plugin import ModelThread, Word
from coda_voice_plugin.kyutai.frames import (
    FRAME,
    FRAME_S,
    OWN,
    Begin,
    Fresh,
    MoshiInput,
    MoshiOutput,
)
from coda_voice_plugin.kyutai.line import Spoken
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.testing import run_virtual

VOICE = 0.25
"""Level of its speech; padding is silent."""
LOUD = np.full(FRAME, 0.1, np.float32)
QUIET = np.zeros(FRAME, np.float32)


class ScriptedMoshi:
    """A BatchModel that obeys its text rules and is one step late with sound, as Moshi is."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.log: list[dict[int, MoshiInput]] = []
        self.fault: Exception | None = None
        self.hums = False
        """Whether it makes a sound without a word, too."""
        self._chooses: dict[int, Iterator[int]] = {}
        self._before: dict[int, int | None] = {}

    def samples(self, slot: int, signs: str | Iterable[int]) -> None:
        """What it chooses by itself in the steps of ``slot``; padding after that."""
        given = tokens(signs) if isinstance(signs, str) else signs
        self._chooses[slot] = chain(given, repeat(PAD))

    def open(self) -> None:
        pass

    close = restart = open

    def step(self, work: Mapping[int, MoshiInput]) -> dict[int, MoshiOutput]:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.log.append(dict(work))
        return {slot: self._one(slot, each) for slot, each in work.items()}

    def _one(self, slot: int, given: MoshiInput) -> MoshiOutput:
        if given.begin is not None:
            self._before[slot] = None if isinstance(given.begin, Fresh) else PAD
        sampled = next(self._chooses.get(slot, repeat(PAD)))
        rule = given.text
        if rule.only is not None and sampled not in rule.only:
            sampled = PAD
        chosen = rule.on_pad if sampled == PAD else rule.on_word
        token = sampled if chosen is None else chosen
        text, self._before[slot] = self._before[slot], token
        if text is None:
            return MoshiOutput(sampled, token, None, None)
        level = VOICE if text > PAD or self.hums else 0.0
        return MoshiOutput(sampled, token, text, np.full(FRAME, level, np.float32))

    def given(self, slot: int) -> list[MoshiInput]:
        """Its inputs so far."""
        return [work[slot] for work in self.log if slot in work]


class _InPlace(ModelThread):
    """Runs a job where it is; a step takes a hundredth of a second of virtual time."""

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work.__name__ == "step":
            await asyncio.sleep(0.01)
        return work(*args, **kwargs)


@asynccontextmanager
async def turning(model: ScriptedMoshi) -> AsyncIterator[Wheel[MoshiInput, MoshiOutput]]:
    async with Wheel("moshi", model, thread=_InPlace).open() as wheel:
        yield wheel


def seated(wheel: Wheel[Any, Any], begin: Begin | None = None, **options: Any) -> MoshiSlot:
    """A caller in a slot of his own."""
    letters = Letters()
    slot = MoshiSlot(Script(letters), Monologue(letters), begin or Fresh(), wheel.leave, **options)
    wheel.join(slot)
    return slot


async def hears(slot: MoshiSlot, *sound: np.ndarray) -> None:
    """Let the caller's frames come one for each tick."""
    for each in sound:
        slot.push(each)
        await asyncio.sleep(FRAME_S)


def own(inputs: Iterable[MoshiInput]) -> list[bool]:
    """In which steps the model was its own master."""
    return [each.text == OWN for each in inputs]


Scene = Callable[[Wheel, ScriptedMoshi], Awaitable[None]]


def play(scene: Scene, *samples: str, slots: int = 2) -> ScriptedMoshi:
    """Play ``scene`` with a model that samples ``samples`` in slot 0, slot 1, ..."""
    model = ScriptedMoshi(slots)
    for slot, signs in enumerate(samples):
        model.samples(slot, signs)

    async def main() -> None:
        async with turning(model) as wheel:
            await scene(wheel, model)

    run_virtual(main())
    return model


def taken(slot: MoshiSlot) -> list[Spoken]:
    """What it has said and nobody has taken yet."""
    return [slot._speech._waiting.popleft() for _ in range(slot.waiting)]


def words(spoken: list[Spoken]) -> list[Word]:
    return [word for each in spoken for word in each.words]
