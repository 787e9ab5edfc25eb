"""Kyutai's voice for many: one step of LMGen and Mimi for all answers that have words to speak.

Text comes word by word. The model says when it wants the next one, is shown a few words more
than it speaks, and its sound is ``delay`` steps behind its text. The rules of that are
upstream's own state machine (``moshi.models.tts``); here they run for each slot by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import WrongModelError
from .checkpoint import Loaded
from .frames import Floats, Fresh, Sampling
from .streams import Streams
from .voice_speakers import NAME, Speaker, Speakers

CODEBOOKS = 24
"""Of the codec, at most, as in Kyutai's server. The model has 32, and each takes time."""
CLICK = 2
"""Frames at the beginning that upstream does not play: there is a click in them."""
TAIL = 2
"""Frames of sound after the step in which the model asked for a word and there was none, beyond
those: the last word fades out."""
HASTE = 2
"""Steps without sound that a new answer makes while the others make one: it has to be as far ahead
with its text as the model's delay. As many as in Kyutai's server."""
WARM_UP = 4
VOICE = Sampling(temperature=0.6, text_temperature=0.6)
"""Upstream's choice for these models."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceInput:
    """What one answer gives in one step."""

    words: tuple[str, ...] = ()
    """The next words; each has a letter or a digit."""
    complete: bool = False
    """No more words will come."""
    begin: Speaker | None = None
    """Who speaks; only with the first input of an occupant."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceOutput:
    """What one answer gets from one step."""

    sounds: tuple[Floats, ...]
    """Frames of speech, ``[1920]`` each: mostly one, none at the beginning."""
    begun: tuple[tuple[str, int], ...]
    """Words whose sound begins, and with which frame of the answer; it comes later."""
    ahead: int
    """Words that are known and not begun."""
    end: int | None
    """The frame with which the last word ends, once it is known."""
    finished: bool
    """All sound has been given."""


class VoiceBatch:
    """A :class:`~.wheel.BatchModel` over a voice's checkpoint; lives on one thread.

    ``voice`` is the file of the speaker that it opens with. Raises WrongModelError for any
    other checkpoint.
    """

    def __init__(self, loaded: Loaded, slots: int, voice: Path, sampling: Sampling = VOICE) -> None:
        from moshi.models.tts import StateMachine, TokenIds, TTSModel

        lm, tts = loaded.lm, loaded.info.tts_config
        if not tts or tts.get("multistream") or lm.dep_q == 0:
            raise WrongModelError(
                NAME,
                f"{loaded.name} is no voice for one speaker; set kyutai.tts_model to one, such as "
                '"kyutai/tts-1.6b-en_fr".',
            )
        self.slots = slots
        self.lookahead: int = tts.get("second_stream_ahead", 0)
        """Words that the model must know beyond the one that it begins."""
        self.delay = int(tts["audio_delay"] * loaded.mimi.frame_rate)
        """Steps that the sound is behind the text."""
        self._machine = StateMachine(
            TokenIds(lm.text_card + 1), self.lookahead, max_padding=8, initial_padding=2
        )
        codebooks = min(CODEBOOKS, lm.n_q)
        self.speakers = Speakers(
            loaded,
            TTSModel(
                lm, loaded.mimi, loaded.tokenizer, "", "", self._machine, self.delay, n_q=codebooks
            ),
        )
        lm.dep_q = codebooks
        loaded.mimi.set_num_codebooks(codebooks)
        self._voice = voice
        self._sampling = sampling
        self._streams = Streams(loaded, slots)
        self._answers = [self._answer() for _ in range(slots)]
        self._stepping: Sequence[int] = ()
        zero = self._machine.token_ids.zero
        device = loaded.device
        self._nothing = torch.full((slots, lm.n_q - codebooks, 1), zero, device=device)
        self._soundless = torch.full((slots, codebooks, 1), zero, device=device)
        self._late = torch.tensor(lm.delays[1 : 1 + codebooks], device=device) + self.delay

    def open(self) -> None:
        """Allocate the state of all slots, and step it warm. On the model's thread."""
        from moshi.models.lm import LMGen

        streams, chosen = self._streams, self._sampling
        if chosen.seed is not None:
            torch.manual_seed(chosen.seed)
        with streams.quietly():
            speaker = self.speakers.read(self._voice)
            gen = LMGen(
                streams.loaded.lm,
                use_sampling=not chosen.greedy,
                temp=chosen.temperature,
                temp_text=chosen.text_temperature,
                top_k=chosen.top_k,
                top_k_text=chosen.text_top_k,
                condition_tensors=self.speakers.conditions(speaker, self._voice, self.slots),
                on_text_hook=self._on_text,
                on_audio_hook=self._on_audio,
                # else one answer's beginning would be a hole for all the others
                support_out_of_sync=True,
            )
            streams.start(gen)
            every = range(self.slots)
            for _ in range(WARM_UP if streams.cuda else 1):
                self._advance(every, soundless=False)
                self._advance(every, soundless=True)
            self._answers = [self._answer() for _ in every]

    def close(self) -> None:
        """Free the state."""
        self._streams.stop()

    def restart(self) -> None:
        """Begin anew after a step that failed anywhere: no slot keeps its state."""
        self.close()
        self.open()

    def speaker(self, path: Path) -> Speaker:
        """Read a voice. Raises EngineError for a file that is none of this model's."""
        with self._streams.quietly():
            return self.speakers.read(path)

    def step(self, work: Mapping[int, VoiceInput]) -> dict[int, VoiceOutput]:
        """One step of 80 ms for the slots in ``work`` (a few for those that have just begun).

        A slot that does not know enough words stands still. Raises whatever the model raises.
        """
        with self._streams.quietly():
            for slot, each in work.items():
                if each.begin is not None:
                    self._streams.begin({slot: Fresh()})
                    gen = self._streams.gen
                    self.speakers.seat(slot, each.begin, gen._streaming_state)
                    self._answers[slot] = self._answer()
                self._answers[slot].add(each)
            for _ in range(HASTE):
                able = [slot for slot in work if self._answers[slot].able]
                new = [slot for slot in able if self._answers[slot].steps < self.delay]
                if not new or len(new) == len(able):
                    break
                self._advance(new, soundless=True)
            able = [slot for slot in work if self._answers[slot].able]
            if able:
                new_only = all(self._answers[slot].steps < self.delay for slot in able)
                self._advance(able, soundless=new_only)
        return {slot: self._answers[slot].told() for slot in work}

    # One step of the model.

    def _advance(self, slots: Sequence[int], *, soundless: bool) -> None:
        """Step ``slots``; ``soundless`` where none of them has sound yet, which is the cheaper."""
        streams = self._streams
        live = streams.mask(slots)
        streams.gen.set_exec_mask(live)
        self._stepping = slots
        out = streams.gen.step(self._nothing, self._soundless if soundless else None)
        sounding = []
        for slot in slots:
            answer = self._answers[slot]
            answer.steps += 1
            if answer.frame >= 0:
                sounding.append(slot)
        if not sounding:
            return
        # the codec has its own mask: it must not move where the first frames are on their way
        streams.loaded.mimi.set_exec_mask(streams.mask(sounding))
        sound = streams.loaded.mimi.decode(out[:, 1:].clamp(min=0))[:, 0].clamp(-1, 1).cpu()
        for slot in sounding:
            self._answers[slot].hear(sound[slot].numpy().copy())

    def _on_text(self, tokens: torch.Tensor) -> None:
        """LMGen's hook: ``[slots]`` as the model chose, before the sound is formed."""
        chosen = tokens.tolist()
        for slot in self._stepping:
            chosen[slot] = self._answers[slot].choose(chosen[slot])
        tokens.copy_(torch.tensor(chosen))

    def _on_audio(self, codes: torch.Tensor) -> None:
        """LMGen's hook: ``[slots, codebooks]``; there is no sound before the delay."""
        offsets = self._streams.gen._streaming_state.offsets
        codes.masked_fill_(offsets[:, None] < self._late, self._machine.token_ids.zero)

    def _answer(self) -> _Answer:
        return _Answer(
            self._machine,
            self._streams.loaded.tokenizer,
            self._streams.loaded.mimi.frame_rate,
            self.lookahead,
            first=self.delay + max(self._streams.loaded.lm.delays) + 1,
        )


class _Answer:
    """What one slot speaks, and how far it is."""

    def __init__(
        self, machine: Any, tokenizer: Any, frame_rate: float, lookahead: int, first: int
    ) -> None:
        self._machine = machine
        self._tokenizer = tokenizer
        self._frame_rate = frame_rate
        self._lookahead = lookahead
        self._first = first
        self._state = machine.new_state([])
        self._firsts: list[tuple[int, str]] = []  # number of a word's first entry, the word
        self._entries = 0
        self._complete = False
        self._sounds: list[Floats] = []
        self._begun: list[tuple[str, int]] = []
        self._given = 0  # frames
        self.steps = 0

    def add(self, each: VoiceInput) -> None:
        from moshi.models.tts import script_to_entries

        for word in each.words:
            entries = script_to_entries(
                self._tokenizer,
                self._machine.token_ids,
                self._frame_rate,
                [word],
                multi_speaker=self._entries == 0,  # who speaks is said once, before the first word
                padding_between=1,
            )
            self._firsts.append((self._entries, word))
            self._entries += len(entries)
            self._state.entries.extend(entries)
        self._complete = self._complete or each.complete

    @property
    def able(self) -> bool:
        """Whether enough words are known for a step, and it is not over."""
        if not self._complete:
            return len(self._state.entries) > self._lookahead
        return not self._finished

    @property
    def frame(self) -> int:
        """Which frame of sound the latest step gave; negative before the first."""
        return self.steps - self._first

    def choose(self, token: int) -> int:
        """The text token that takes the place of the model's ``token``."""
        told: tuple[int, bool] = self._machine.process(self.steps, self._state, token)
        begun = len(self._state.consumption_times) - 1
        if told[1] and self._firsts and self._firsts[0][0] == begun:
            _, word = self._firsts.pop(0)
            self._begun.append((word, max(0, self.steps - CLICK)))
        return told[0]

    def hear(self, sound: Floats) -> None:
        """Take the frame of the latest step."""
        end = self._end
        if self.frame >= CLICK and (end is None or self._given < end + TAIL):
            self._sounds.append(sound)
            self._given += 1

    def told(self) -> VoiceOutput:
        """What is new since this was asked."""
        out = VoiceOutput(
            tuple(self._sounds),
            tuple(self._begun),
            len(self._state.entries),
            self._end,
            self._finished,
        )
        self._sounds, self._begun = [], []
        return out

    @property
    def _end(self) -> int | None:
        end: int | None = self._state.end_step
        return end if self._complete else None

    @property
    def _finished(self) -> bool:
        return self._end is not None and self._given >= self._end + TAIL
