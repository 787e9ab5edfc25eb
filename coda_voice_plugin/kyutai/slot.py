"""One call's place in the batch: the seat that the wheel sees, the line that a strategy sees."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable

from ..errors import VoiceError
from ..events import Word
from .arrivals import Arrivals
from .frames import FRAME, FRAME_S, Begin, Floats, MoshiInput, MoshiOutput
from .hushed import Hush, is_loud
from .line import Line, Manner, Report, Spoken, SpokenFrames
from .monologue import Monologue
from .oracle import OracleQueue
from .script import MOST_WORDS, PAD, Script

DELAY = 1
"""Steps from a text token of Moshi to the frame that it belongs to: the codebooks lag by one."""
SILENCE = 25
"""Quiet frames, of both sides, that make a good moment to begin anew: two seconds."""


class MoshiSlot(Line):
    """A conversation in a slot of the batch. Everything happens on the event loop.

    ``begin`` is how the slot begins, ``leave`` frees it. With ``renew_s`` the slot begins
    anew, as ``anew`` says (``begin``, where it is not given), in the first silence after so
    many seconds: the model was trained on some minutes of conversation. It then waits for
    the user, who would wonder at a second greeting. ``oracle`` is for weights with an
    oracle stream.
    """

    can_say = True

    def __init__(
        self,
        script: Script,
        monologue: Monologue,
        begin: Begin,
        leave: Callable[[MoshiSlot], None],
        renew_s: float | None = None,
        anew: Begin | None = None,
        oracle: OracleQueue | None = None,
    ) -> None:
        self.script = script
        self.hears_oracle = oracle is not None
        self.arrivals = Arrivals()
        self.missed = 0
        """Ticks that the user's sound came too late for."""
        self.renewed = 0
        """How often the slot began anew."""
        self.paused = False
        """While paused the slot stands still: neither hears nor speaks."""
        self._monologue = monologue
        self._oracle = oracle
        self._start = anew or begin
        self._begin: Begin | None = begin
        self._leave = leave
        self._renew = round(renew_s / FRAME_S) if renew_s else None
        self._steps = 0  # since the slot began, or began anew
        self._samples = 0
        self._said: deque[Word] = deque(maxlen=MOST_WORDS)
        self._quiet = 0
        self._hush = Hush()
        self._speech = SpokenFrames()
        self._closed = False

    # What a strategy uses.

    def push(self, samples: Floats) -> None:
        if not self.paused:
            self.arrivals.push(samples)

    def spoken(self) -> AsyncGenerator[Spoken, None]:
        return self._speech.frames()

    @property
    def waiting(self) -> int:
        """Frames of speech that the reader has not taken."""
        return self._speech.waiting

    def say(self, text: str, manner: Manner = "forced") -> None:
        self.script.say(text, manner)
        if not self.script.hushed:
            self._hush.end()

    def report(self) -> Report:
        script = self.script
        soon = tuple(word.text for word in script.said)  # written, and not heard yet
        cut = tuple(word.text for word in script.cut)
        return Report(tuple(self._said), cut, soon + script.waiting)

    def tell(self, text: str) -> None:
        if self._oracle is None:
            super().tell(text)
        else:
            self._oracle.append(text)

    def untell(self) -> None:
        if self._oracle is not None:
            self._oracle.reset()

    def hush(self) -> None:
        self._hush.begin()
        self.script.hush()
        self.untell()

    def unhush(self) -> None:
        self._hush.end()
        self.script.free()

    def hold(self, held: bool) -> None:
        self.script.hold(held)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._leave(self)
            self._speech.end()

    # What the wheel uses.

    def gather(self) -> MoshiInput | None:
        if self.paused:
            return None
        sound = self.arrivals.take()
        if sound is None:
            self.missed += self._steps > 0
            return None
        self._listen(sound)
        told = None if self._oracle is None else self._oracle.take()
        if told is not None:
            self._quiet = 0  # else it might begin anew between a question and its answer
        begin, self._begin = self._begin, None
        return MoshiInput(sound, begin=begin, text=self.script.rule(), oracle=told)

    def give(self, out: MoshiOutput) -> None:
        sounds = self.script.step - DELAY
        self._steps += 1
        self.script.took(out.token)
        if out.token != PAD:
            self._quiet = 0
        if out.sound is None or out.text is None:
            return
        words = self._monologue.push(out.text)
        talking = self._monologue.talking
        if talking or is_loud(out.sound):
            self._quiet = 0
        self._speech.put(Spoken(self._samples, out.sound, words, talking))
        self._samples += FRAME
        self._note(sounds)
        if self._renew is not None and self._steps >= self._renew and self._idle:
            self._begin_anew()

    def fail(self, error: VoiceError) -> None:
        self._speech.fail(error)

    @property
    def _idle(self) -> bool:
        told = self._oracle is not None and self._oracle.waiting
        return self._quiet >= SILENCE and not told

    def _note(self, step: int) -> None:
        """The frame of ``step`` is the latest: note where the given word ended that it ends."""
        said = self.script.said
        while said and said[0].last is not None and said[0].last <= step:
            word = said.popleft()
            self._said.append(
                Word(word.text, self._samples - len(word.tokens) * FRAME, self._samples)
            )

    def _begin_anew(self) -> None:
        self._begin, self._steps, self._quiet = self._start, 0, 0
        self.renewed += 1
        self.untell()
        if not self.script.waiting:
            self.hush()

    def _listen(self, sound: Floats) -> None:
        """Follow the user's level: who was hushed may speak again when the user has."""
        loud = is_loud(sound)
        self._quiet = 0 if loud else self._quiet + 1
        if self._hush.hear(loud=loud):
            self.script.free()
