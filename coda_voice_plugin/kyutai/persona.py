"""Who Moshi is, told before the call: a role in words and a voice by example.

For weights that were trained to be told so. The prompt is stepped through a slot as if
it had been lived: first the voice prompt as Moshi's own sound, then half a second of
silence, the role as its own text while it is silent, and half a second of silence again;
the user's side is a steady tone throughout. The state after it is kept, and each call begins
with a copy. Order, tags, tone and silence are those of the training (NVIDIA/personaplex at
3428dfd, moshi/moshi/models/lm.py: step_system_prompts; moshi/server.py:
wrap_with_system_tags).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError, VoiceError, WrongModelError
from .checkpoint import Loaded
from .frames import FRAME_S, Floats, MoshiInput, MoshiOutput, Snapshot, TextRule
from .script import PAD

SILENCE = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
"""Mimi's codes of silence, as Moshi's side hears it in a prompt."""
TONE = (430, 1268, 381, 1611, 1095, 1495, 56, 472)
"""Mimi's codes of a tone: the user's side of a prompt."""
STILL = round(0.5 / FRAME_S)
"""Frames of silence after each of the two prompts."""
VOICE_LEVEL = 10 ** (-24 / 20)
"""Root mean square to which the recording of a voice is brought: -24 dB of full scale."""
LONGEST_VOICE_S = 30.0
LONGEST_ROLE = 500
"""Tokens: 40 s of the model's memory."""
KEPT = 4
"""Personas whose states are kept: up to 1.6 GB each for a full context of the full size; a
prompt of 20 s takes 130 MB."""


@dataclass(frozen=True, slots=True)
class Persona:
    """``role`` is text, ``voice`` the path of a recording; either may be empty."""

    role: str = ""
    voice: str | None = None

    def __bool__(self) -> bool:
        return bool(self.role.strip() or self.voice)


def check(persona: Persona, loaded: Loaded) -> None:
    """Raise WrongModelError when the weights were not trained to be told who they are."""
    if not loaded.takes_prompts:
        raise WrongModelError(
            "moshi",
            f"{loaded.info.moshi_weights.parent} was not trained on prompts: it would read a role "
            "aloud or ignore it. Use weights that were (nvidia/personaplex-7b-v1), or leave "
            "moshi.role_prompt and moshi.voice_prompt empty.",
        )
    if loaded.mimi.cardinality <= max(SILENCE):
        raise WrongModelError("moshi", "its codec is not the one that prompts are written in.")
    if persona.voice is not None and Path(persona.voice).suffix in (".pt", ".pth"):
        raise EngineError(
            "moshi",
            f"moshi.voice_prompt {persona.voice} holds states of another program; give a "
            "recording of the voice instead (10 s of clean speech).",
        )


def prompt(persona: Persona, loaded: Loaded, voice: Sequence[tuple[int, ...]]) -> list[MoshiInput]:
    """The steps that make a slot this persona; ``voice`` are Mimi's codes of its recording.

    Raises EngineError for a role that is too long.
    """
    spoken: list[tuple[int, ...]] = [*voice, *[SILENCE] * STILL]
    text = [PAD] * len(spoken)
    if persona.role.strip():
        role = loaded.tokenizer.encode(tagged(persona.role))
        if len(role) > LONGEST_ROLE:
            raise EngineError(
                "moshi",
                f"moshi.role_prompt has {len(role)} tokens; at most {LONGEST_ROLE} leave room to "
                "remember the conversation.",
            )
        text += [*role, *[PAD] * STILL]
        spoken += [SILENCE] * (len(role) + STILL)
    return list(_steps(text, spoken, loaded.lm))


def _steps(text: Sequence[int], spoken: Sequence[tuple[int, ...]], lm: Any) -> Sequence[MoshiInput]:
    """One input for each position of the streams but the first, which is always initial.

    What a step writes belongs to the position after it, and codebook k comes ``delays[k]``
    positions late.
    """
    delays = lm.delays[1 : lm.dep_q + 1]
    steps = []
    for position in range(1, len(text)):
        late = [spoken[max(position - delay, 0)][k] for k, delay in enumerate(delays)]
        token = text[position]
        rule = TextRule(on_pad=token, on_word=token)
        steps.append(MoshiInput(codes=TONE, text=rule, audio=tuple(late)))
    return steps


def tagged(role: str) -> str:
    """``role`` between the marks that such weights know it by."""
    role = " ".join(role.split())
    if role.startswith("<system>") and role.endswith("<system>"):
        return role
    return f"<system> {role} <system>"


def level(recording: Floats) -> Floats:
    """The recording of a voice at the loudness of the training; raises EngineError for silence."""
    loudness = float(np.sqrt(np.mean(np.square(recording)))) if len(recording) else 0.0
    if loudness < 1e-4:
        raise EngineError("moshi", "the recording of moshi.voice_prompt is silent.")
    return np.clip(recording * (VOICE_LEVEL / loudness), -1.0, 1.0).astype(np.float32)


class Prompter:
    """A seat of the wheel that lives through a prompt and then stands still."""

    def __init__(self, begin: MoshiInput, steps: Sequence[MoshiInput]) -> None:
        self._steps = deque([begin, *steps])
        self._left = len(self._steps)
        self._over = asyncio.Event()
        self._error: VoiceError | None = None

    async def done(self) -> None:
        """Wait for the last step; raises what broke the model meanwhile."""
        await self._over.wait()
        if self._error is not None:
            raise self._error

    def gather(self) -> MoshiInput | None:
        return self._steps.popleft() if self._steps else None

    def give(self, out: MoshiOutput) -> None:
        self._left -= 1
        if not self._left:
            self._over.set()

    def fail(self, error: VoiceError) -> None:
        self._error = error
        self._over.set()


class SnapshotCache:
    """States of personas, the latest used last. When it is full the oldest is forgotten."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[Persona, Snapshot] = OrderedDict()

    def get(self, persona: Persona) -> Snapshot | None:
        if persona in self._kept:
            self._kept.move_to_end(persona)
        return self._kept.get(persona)

    def put(self, persona: Persona, snapshot: Snapshot) -> None:
        self._kept[persona] = snapshot
        self._kept.move_to_end(persona)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
