"""Callers come, go, fall silent and are told words, all at once: each is as if he were alone."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
import torch
from small import GREEDY, InPlace, small_moshi
from solo import Heard, assert_same, is_same, solo, speech

from coda_voice_plugin import BusyError
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import FRAME_S, Fresh, MoshiInput, MoshiOutput
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import Script
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.testing import run_virtual

SEEDS = range(int(os.environ.get("CODA_VOICE_SEEDS", "3")))
TICKS = 50
SLOTS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_moshi(tmp_path_factory.mktemp("storm"))


class Caller(MoshiSlot):
    """Notes what went into his slot and what came out of it."""

    def __init__(self, number: int, wheel: Wheel, tokenizer: object) -> None:
        super().__init__(Script(tokenizer), Monologue(tokenizer), Fresh(), wheel.leave)
        self.number = number
        self.sounds = speech(number, TICKS)
        self.said = 0
        self.heard: Heard = []
        self.fed: list = []
        self.tokens: list[int] = []
        self.given: list[str] = []
        self.is_told = False

    def speak(self) -> None:
        self.push(self.sounds[self.said])
        self.said += 1

    def gather(self) -> MoshiInput | None:
        given = super().gather()
        if given is not None:
            self.fed.append(given.sound)
        return given

    def give(self, out: MoshiOutput) -> None:
        super().give(out)
        self.tokens.append(out.token)

    async def listen(self) -> None:
        async for spoken in self.spoken():
            self.heard.append((self.tokens[len(self.heard)], spoken.sound))

    def alone(self, folder: Path) -> Heard:
        """What upstream's own loop makes of the same sound, and of the same words."""
        step = iter(self.tokens)

        def told(text: torch.Tensor) -> None:
            text.fill_(next(step))

        frames = self.fed[: len(self.tokens)]
        options = {"on_text_hook": told} if self.is_told else {}
        return solo(folder, frames, **options)


async def storm(seed: int, wheel: Wheel, tokenizer: object, tasks: asyncio.TaskGroup) -> list:
    """Live through ``TICKS`` ticks; return all who called."""
    rng = random.Random(seed)
    every: list[Caller] = []
    here: list[Caller] = []
    for _ in range(TICKS):
        if len(every) < SLOTS or rng.random() < 0.25:
            caller = Caller(100 * seed + len(every), wheel, tokenizer)
            try:
                wheel.join(caller)
            except BusyError:
                assert len(here) == SLOTS
            else:
                every.append(caller)
                here.append(caller)
                tasks.create_task(caller.listen())
        for caller in list(here):
            dice = rng.random()
            if dice < 0.05:
                caller.close()
                here.remove(caller)
            elif dice < 0.12:
                caller.paused = not caller.paused
            elif dice >= 0.3 or caller.number % 3 == 1:
                pass  # every third one is told nothing: what he says is the model's own
            elif dice < 0.2:
                text = rng.choice(["hello how are you", "goodbye", "one two three"])
                caller.say(text)
                caller.given += text.split()
            elif dice < 0.25:
                caller.hush()
            else:
                caller.hold(rng.random() < 0.5)
            caller.is_told |= 0.12 <= dice < 0.3 and caller.number % 3 != 1
            if rng.random() > 0.1:
                caller.speak()  # else his sound is late
        await asyncio.sleep(FRAME_S * rng.choice([0.9, 1.0, 1.1]))
    for caller in here:
        caller.close()
    return every


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_storm_each_caller_is_as_if_he_were_alone(seed: int, folder: Path) -> None:
    async def main() -> list[Caller]:
        batch = MoshiBatch(load_folder(folder), SLOTS, GREEDY)
        async with (
            Wheel("moshi", batch, thread=InPlace).open() as wheel,
            asyncio.TaskGroup() as tasks,
        ):
            every = await storm(seed, wheel, batch.loaded.tokenizer, tasks)
            assert wheel.taken == 0
        return every

    every = run_virtual(main())
    assert len(every) > SLOTS
    assert {caller.is_told for caller in every} == {True, False}
    for caller in every:
        assert_same(caller.heard, caller.alone(folder)[: len(caller.heard)])
        assert len(caller.heard) >= len(caller.tokens) - 1
        report = caller.report()
        said = [word.text for word in report.said]
        assert sorted([*said, *report.cut, *report.waiting]) == sorted(caller.given)
    longest = sorted(every, key=lambda caller: len(caller.heard))[-2:]
    shared = len(longest[0].heard)
    assert shared > 1
    assert not is_same(longest[0].heard, longest[1].heard[:shared])
