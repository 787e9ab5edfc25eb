"""When does an utterance begin, pause and end? A state machine without I/O.

Give it the sound (:meth:`Endpoint.hear`), the probability that each window of it is
speech (:meth:`Endpoint.judge`), and ask after each frame what follows
(:meth:`Endpoint.tick`). Time is the number of samples heard.
"""

from __future__ import annotations

from ..config.model import AudioSettings, TurnSettings
from ..events import MIC_RATE
from .level import last_loud
from .pcm import Floats
from .recent import Recent
from .silero import WINDOW
from .sounds import Began, Continued, Ended, Lasted, Paused, Sound, Voice

HYSTERESIS = 0.15
"""Speech goes on down to this much below the threshold at which it starts."""
CANDIDATE_GAP = 3 * WINDOW
"""Silence that a beginning may hold before it counts as noise."""
RESUME = 2 * WINDOW
"""Speech that takes back a pause; a click is shorter."""
LAG = 6 * WINDOW
"""How late a judge may notice that speech has ended (192 ms; about 90 are usual)."""
KEEP = 2 * MIC_RATE
"""Samples kept beside the pre-roll, to tell how loud speech and noise are."""


def in_samples(ms: int) -> int:
    """Return how many samples ``ms`` milliseconds of microphone are."""
    return ms * MIC_RATE // 1_000


class Endpoint:
    """The turns of one microphone. All positions are 16 kHz samples."""

    def __init__(self, turn: TurnSettings, audio: AudioSettings) -> None:
        self._turn = turn
        self._threshold = audio.vad_threshold
        self._leave = max(0.0, audio.vad_threshold - HYSTERESIS)
        self._longest_silence = in_samples(audio.silence_duration_ms)
        self._speculative = in_samples(turn.speculative_ms)
        self._min_speech = in_samples(turn.min_speech_ms)
        self._barge_in = in_samples(turn.barge_in_ms)
        self._max_utterance = turn.max_utterance_s * MIC_RATE
        self.hurried = False
        """Somebody is talked over: speech counts as soon as it may hold a reply
        (``turn.barge_in_ms``), where that is sooner."""
        self._recent = Recent(in_samples(turn.pre_roll_ms) + self._min_speech + KEEP)
        self._patience = in_samples(turn.unsure_ms)
        self._key_down = False
        self._previous_end = 0
        """End of the last utterance; a pre-roll does not reach behind it."""
        self._run_start: int | None = None
        """Where the speech began that is not yet an utterance, or not yet its continuation."""
        self._run_end = 0
        self._spoken = 0
        """Speech in this utterance, or in the beginning of one."""
        self._start: int | None = None
        """First speech sample of the open utterance."""
        self._given = 0
        """Everything before this position has left as pre-roll or Voice."""
        self._quiet_from: int | None = None
        """End of the last speech, while the open utterance is silent."""
        self._paused = False
        self._lasted = False

    @property
    def open(self) -> bool:
        """Whether an utterance is open."""
        return self._start is not None

    @property
    def now(self) -> int:
        """Samples heard."""
        return self._recent.end

    def window(self, start: int) -> Floats:
        """Return the 512 samples from ``start`` on; only recent ones are kept."""
        return self._recent.cut(start, start + WINDOW)

    def hear(self, samples: Floats) -> None:
        """Take the next samples."""
        self._recent.push(samples)

    def judge(self, start: int, probability: float) -> list[Sound]:
        """Take the probability of speech in the window from ``start`` on.

        While no utterance is open, windows may come a second time with a new judgement.
        """
        if self._key_down or start < self._previous_end:
            return []
        if self._start is None:
            return self._judge_beginning(start, probability)
        if self._quiet_from is None:
            if probability >= self._leave:
                return self._speak()
            self._quiet_from = self._speech_end(start)
            self._run_start = None
            return []
        if probability < self._threshold:
            self._run_start = None
            return []
        if self._run_start is None:
            self._run_start = start
        # Before the pause is reported nothing has to be taken back.
        if self._paused and start + WINDOW - self._run_start < RESUME:
            return []
        sounds: list[Sound] = [Continued(self._run_start)] if self._paused else []
        self._paused = False
        self._quiet_from = None
        return sounds + self._speak()

    def tick(self) -> list[Sound]:
        """Return what follows from the sound and the silence so far."""
        if self._start is None:
            return []
        sounds = self._give()
        if self._key_down:
            return sounds
        sounds += self._pass_time()
        if self._start is not None and self.now - self._start >= self._max_utterance:
            sounds += self._end()
        return sounds

    def set_patience(self, ms: int) -> list[Sound]:
        """Let ``ms`` of silence confirm the current pause; without one do nothing."""
        if not self._paused:
            return []
        self._patience = in_samples(ms)
        return self._pass_time()

    def talk_key(self, down: bool) -> list[Sound]:
        """Open an utterance by the key, or end it."""
        if down:
            self._key_down = True
            if not self.open:
                self._spoken = 0
                return [*self._begin(self.now), *self._interrupt(0)]
            sounds: list[Sound] = [Continued(self.now)] if self._paused else []
            self._paused, self._quiet_from = False, None
            return sounds
        was_down, self._key_down = self._key_down, False
        return self.end_now() if was_down else []

    def end_now(self) -> list[Sound]:
        """End the open utterance here."""
        if self._start is None:
            return []
        return [*self._give(), *self._end()]

    def _judge_beginning(self, start: int, probability: float) -> list[Sound]:
        if probability < (self._threshold if self._run_start is None else self._leave):
            if self._run_start is not None and start - self._run_end >= CANDIDATE_GAP:
                self._run_start = None
            return []
        if self._run_start is None:
            self._run_start, self._spoken = start, 0
        self._run_end = start + WINDOW
        self._spoken += WINDOW
        least = min(self._min_speech, self._barge_in) if self.hurried else self._min_speech
        if self._spoken < least:
            return []
        return self._begin(self._run_start) + self._interrupt(self._barge_in)

    def _begin(self, at: int) -> list[Sound]:
        first = max(self._previous_end, at - in_samples(self._turn.pre_roll_ms), 0)
        self._start, self._given = at, self.now
        self._quiet_from, self._paused, self._lasted = None, False, False
        self._run_start = None
        return [Began(at, self._recent.cut(first, self.now))]

    def _speak(self) -> list[Sound]:
        self._spoken += WINDOW
        return self._interrupt(self._barge_in)

    def _speech_end(self, noticed: int) -> int:
        """Return where the speech ended that a judge misses from ``noticed`` on."""
        after = self.now - noticed
        back = last_loud(self._recent.cut(self.now - KEEP, self.now), LAG + after)
        if back is None:
            return noticed
        assert self._start is not None
        return max(self._start, min(noticed, self.now - back))

    def _interrupt(self, least: int) -> list[Sound]:
        if self._lasted or self._spoken < least:
            return []
        self._lasted = True
        return [Lasted(self._spoken * 1_000 // MIC_RATE)]

    def _give(self) -> list[Sound]:
        if self._given >= self.now:
            return []
        samples = self._recent.cut(self._given, self.now)
        self._given = self.now
        return [Voice(samples)]

    def _pass_time(self) -> list[Sound]:
        """Report the pause and the end for which there has been enough silence."""
        if self._quiet_from is None or self._key_down:
            return []
        sounds: list[Sound] = []
        silence = self.now - self._quiet_from
        if not self._paused and silence >= self._speculative:
            self._paused = True
            self._patience = in_samples(self._turn.unsure_ms)
            sounds.append(Paused(self._quiet_from))
        patience = min(self._patience, self._longest_silence)
        # Speech that has just begun again is given the time to prove itself.
        if self._paused and self._run_start is None and silence >= patience:
            sounds += self._end()
        return sounds

    def _end(self) -> list[Sound]:
        assert self._start is not None
        end = self.now if self._quiet_from is None else max(self._quiet_from, self._start)
        sounds: list[Sound] = [] if self._paused else [Paused(end)]
        sounds.append(Ended(self._start, end))
        self._start, self._quiet_from, self._run_start = None, None, None
        self._paused, self._spoken, self._previous_end = False, 0, end
        return sounds
