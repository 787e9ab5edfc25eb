"""Moshi, opened once for all the calls of a process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from ..audio import read_audio, to_floats
from ..config import VoiceConfig
from ..config.moshi import MoshiSettings
from ..errors import AudioError, BusyError, EngineError
from .batch import MoshiBatch
from .checkpoint import Loaded, device_of, load
from .frames import FRAME_S, RATE, Begin, Fresh, MoshiInput, MoshiOutput, Sampling, Snapshot
from .line import open_with
from .memory import Footprint, footprint, slots_that_fit
from .monologue import Monologue
from .oracle import OracleQueue
from .persona import LONGEST_VOICE_S, Persona, Prompter, SnapshotCache, check, level, prompt
from .script import Script
from .slot import MoshiSlot
from .wheel import Wheel

logger = logging.getLogger(__name__)

CPU_SLOTS = 2
"""Calls on a CPU where the settings do not say: it is for trying out."""


class MoshiEngine:
    """The model in its batch, and the lines to it."""

    loaded: Loaded
    wheel: Wheel[MoshiInput, MoshiOutput]
    shape: Footprint

    def __init__(self, config: VoiceConfig) -> None:
        self._config = config
        self._personas = SnapshotCache()
        self._telling = asyncio.Lock()
        self._batch: MoshiBatch

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Load the checkpoint and turn until the block ends.

        Raises ModelMissingError, WeightsError, WrongModelError, NoDeviceError,
        ModelTooBigError or EngineMissingError, each with the remedy.
        """
        await asyncio.to_thread(self._load)
        async with Wheel("moshi", self._batch).open() as self.wheel:
            await self._persona(persona_of(self._config.moshi))
            yield self

    @property
    def capacity(self) -> int:
        """Calls at once."""
        return self._batch.slots

    @asynccontextmanager
    async def line(
        self, settings: MoshiSettings, begin: Snapshot | None = None
    ) -> AsyncIterator[MoshiSlot]:
        """A conversation in a slot of its own; it is hung up when the block ends.

        ``begin`` goes on where :meth:`snapshot` left a call that was dropped. Raises
        BusyError when no slot is free, and what telling a persona raises.
        """
        fresh = await self._persona(persona_of(settings))
        loaded = self.loaded
        slot = MoshiSlot(
            Script(loaded.tokenizer),
            Monologue(loaded.tokenizer),
            begin or fresh,
            self.wheel.leave,
            settings.max_conversation_length,
            fresh,
            OracleQueue(loaded.tokenizer, loaded.lm.text_initial_token_id)
            if loaded.oracle is not None
            else None,
        )
        if begin is None:
            open_with(slot, settings.opening)
        self.wheel.join(slot)
        try:
            yield slot
        finally:
            slot.close()

    async def snapshot(self, line: MoshiSlot) -> Snapshot:
        """The state of a call between two ticks; raises EngineError when it is over."""
        slot = self.wheel.slot_of(line)
        if slot is None:
            raise EngineError("moshi", "the call is over; its state is gone.")
        return await self.wheel.job(self._batch.snapshot, slot)

    def report(self) -> Mapping[str, Any]:
        """Figures for the operator."""
        ticks = self.wheel.ticks
        return {
            "model": self.loaded.name,
            "device": self.loaded.device,
            "slots": self.capacity,
            "taken": self.wheel.taken,
            "down": str(self.wheel.down) if self.wheel.down else None,
            "ticks": ticks.count,
            "tick_ms_p50": round(1e3 * ticks.percentile(50), 2),
            "tick_ms_p99": round(1e3 * ticks.percentile(99), 2),
            "overruns": ticks.overruns,
            "late": ticks.late,
            "skipped": ticks.skipped,
            "occupancy": round(ticks.occupancy, 4),
            "restarts": ticks.restarts,
            "weights_bytes": self.shape.weights,
            "slot_bytes": self.shape.per_slot,
        }

    def _load(self) -> None:
        """Everything that blocks."""
        settings = self._config.moshi
        device = device_of(settings.device)
        self.loaded = load(
            settings.model_path,
            self._config.models,
            device,
            settings.optimization,
            kind="dialogue",
            context=round(settings.context_s / FRAME_S),
        )
        self.shape = footprint(self.loaded)
        if persona := persona_of(settings):
            check(persona, self.loaded)
        slots = self._slots()
        logger.info("moshi: %s on %s, %s", self.loaded.name, device, self.shape.arithmetic(slots))
        sampling = Sampling(
            temperature=settings.temperature,
            text_temperature=settings.text_temperature,
            top_k=settings.top_k,
            text_top_k=settings.text_top_k,
            seed=settings.seed,
        )
        self._batch = MoshiBatch(self.loaded, slots, sampling)

    def _slots(self) -> int:
        settings = self._config.moshi
        if self.loaded.device == "cpu":
            return settings.slots or CPU_SLOTS
        import torch

        free, _ = torch.cuda.mem_get_info()
        slots = slots_that_fit(
            self.shape, free, allowed=settings.vram_allocation, wanted=settings.slots
        )
        # a slot beyond what the door lets in would only cost memory and time
        return min(slots, self._config.server.max_sessions)

    # Personas.

    async def _persona(self, persona: Persona) -> Begin:
        """How a slot with this persona begins; it is told once and then remembered."""
        if not persona:
            return Fresh()
        check(persona, self.loaded)
        async with self._telling:
            known = self._personas.get(persona)
            if known is None:
                known = await self._tell(persona)
                self._personas.put(persona, known)
        return known

    async def _tell(self, persona: Persona) -> Snapshot:
        """Live through the prompt: in a slot of its own, at the pace of the calls if there are any.

        Raises BusyError when no slot is free for it.
        """
        steps = prompt(persona, self.loaded, await self._voice(persona))
        prompter = Prompter(replace(steps[0], begin=Fresh()), steps[1:])
        try:
            slot = self.wheel.join(prompter, hasty=True)
        except BusyError as error:
            raise BusyError(
                error.capacity,
                "no slot is free to prepare this persona in; try again when a call has ended.",
            ) from error
        try:
            await prompter.done()
            return await self.wheel.job(self._batch.snapshot, slot)
        finally:
            self.wheel.leave(prompter)

    async def _voice(self, persona: Persona) -> list[tuple[int, ...]]:
        """Mimi's codes of the recording of the voice."""
        if persona.voice is None:
            return []
        import torch

        try:
            clip = await asyncio.to_thread(read_audio, persona.voice, RATE)
        except AudioError as error:
            raise EngineError("moshi", f"moshi.voice_prompt: {error}") from error
        sound = level(to_floats(clip.pcm)[: round(LONGEST_VOICE_S * RATE)])
        return await self.wheel.job(self._batch.encode_alone, torch.from_numpy(sound))


def persona_of(settings: MoshiSettings) -> Persona:
    """Who Moshi is with these settings."""
    return Persona(settings.role_prompt, settings.voice_prompt)
