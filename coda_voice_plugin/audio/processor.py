"""The front end of one call: microphone bytes in, what the user does out."""

from __future__ import annotations

from functools import partial

import numpy as np

from ..config.model import AudioSettings, VoiceConfig
from ..errors import AudioError
from ..events import MIC_RATE, AudioFrame
from .conditioner import Conditioner
from .endpoint import Endpoint
from .gate import SileroJudge, WebRtcJudge
from .live import Live
from .pcm import Floats, to_pcm
from .silero import WINDOW, Silero
from .sounds import Sound

FRAME = 320
"""Samples of a processed frame: 20 ms at 16 kHz."""


class AudioProcessor:
    """Conditioning, voice activity and turns of one microphone; runs inline.

    ``input_rate`` is the microphone's and ``far_rate`` the loudspeaker's, in hertz.
    ``silero`` is needed unless turns are found without it (``audio.vad: webrtc``,
    ``audio.vad_enabled: false`` or push to talk). However the input bytes are split,
    the sounds are the same (at a ``mic_rate`` of its own, whether an AudioFrame comes
    before or after the turns of its time may differ).

    The AudioFrames are the conditioned sound at 16 kHz. With another ``mic_rate`` they
    come at that rate, straight from the microphone's samples, so that nothing of its
    band is lost; but where echo cancellation, noise reduction or gain is on, from the
    conditioned sound: who speaks all the time must not hear itself.

    Raises AudioError without the model that the settings ask for or for an impossible
    rate, EngineMissingError without webrtcvad.
    """

    def __init__(
        self,
        config: VoiceConfig,
        *,
        input_rate: int,
        far_rate: int,
        silero: Silero | None = None,
        mic_rate: int = MIC_RATE,
    ) -> None:
        self._conditioner = Conditioner(config.audio, input_rate, far_rate)
        self._raw = not _changes_sound(config.audio)
        self._live: Live | None = None
        if mic_rate != MIC_RATE:
            self._live = Live(input_rate if self._raw else MIC_RATE, mic_rate)
        self._endpoint = Endpoint(config.turn, config.audio)
        self._make_judge = partial(_judge_for, config, silero)
        self._judge = self._make_judge()
        self._push_to_talk = config.conversation_mode == "push_to_talk"
        self._waiting: Floats = np.zeros(0, np.float32)
        self._next_window = 0
        self._finished = False

    @property
    def hurried(self) -> bool:
        """Whether a reply sounds that speech may hold: then ``turn.barge_in_ms`` of it count."""
        return self._endpoint.hurried

    @hurried.setter
    def hurried(self, hurried: bool) -> None:
        self._endpoint.hurried = hurried

    @property
    def push_to_talk(self) -> bool:
        """Whether the user's key makes the turns, and not voice activity."""
        return self._push_to_talk

    @push_to_talk.setter
    def push_to_talk(self, push_to_talk: bool) -> None:
        if push_to_talk != self._push_to_talk:
            self._push_to_talk = push_to_talk
            if not push_to_talk:  # what was said until now is not judged
                self._judge = self._make_judge()
                self._next_window = self._endpoint.now

    @property
    def position(self) -> int:
        """Microphone samples (16 kHz) that have been judged and reported."""
        return self._endpoint.now

    def push(self, pcm: bytes) -> list[Sound]:
        """Take the next bytes of the microphone (PCM16, mono, little endian)."""
        samples = self._conditioner.read(pcm)
        conditioned = self._conditioner.condition(samples)
        return self._live_frames(samples, conditioned) + self._take(conditioned)

    def far(self, pcm: bytes) -> None:
        """Take what the loudspeaker plays, at ``far_rate``, for echo cancellation."""
        self._conditioner.far(pcm)

    def finish(self) -> list[Sound]:
        """End the microphone: report what is left and end an open utterance."""
        if self._finished:
            return []
        self._finished = True
        last = self._conditioner.finish()
        sounds = self._live_frames(last[:0], last)
        if self._live is not None:
            sounds += self._live.finish()
        sounds += self._take(last)
        if len(self._waiting):
            rest, self._waiting = self._waiting, self._waiting[:0]
            if self._live is None:
                sounds.append(AudioFrame(to_pcm(rest), start=self.position))
            self._endpoint.hear(rest)
        return sounds + self._endpoint.end_now()

    def set_patience(self, ms: int) -> list[Sound]:
        """Let ``ms`` of silence confirm the current pause; perhaps it has passed already.

        Each new pause begins with ``turn.unsure_ms``; outside a pause this does nothing.
        """
        return self._endpoint.set_patience(ms)

    def talk_key(self, down: bool) -> list[Sound]:
        """The user's key went down (an utterance begins) or up (it ends)."""
        return self._endpoint.talk_key(down)

    def end_now(self) -> list[Sound]:
        """End the open utterance without waiting for silence."""
        return self._endpoint.end_now()

    def _live_frames(self, raw: Floats, conditioned: Floats) -> list[Sound]:
        if self._live is None:
            return []
        return [*self._live.push(raw if self._raw else conditioned)]

    def _take(self, samples: Floats) -> list[Sound]:
        if len(self._waiting):
            samples = np.concatenate((self._waiting, samples))
        sounds: list[Sound] = []
        whole = len(samples) - len(samples) % FRAME
        for first in range(0, whole, FRAME):
            self._frame(samples[first : first + FRAME], sounds)
        self._waiting = samples[whole:]
        return sounds

    def _frame(self, samples: Floats, sounds: list[Sound]) -> None:
        endpoint = self._endpoint
        pcm = to_pcm(samples)
        if self._live is None:
            sounds.append(AudioFrame(pcm, start=endpoint.now))
        endpoint.hear(samples)
        judge = self._judge
        if judge is not None and not self._push_to_talk:
            judge.hear(pcm, endpoint.now)
            while endpoint.now - self._next_window >= WINDOW:
                start, self._next_window = self._next_window, self._next_window + WINDOW
                judged = judge.judge(start, endpoint.window, utterance_open=endpoint.open)
                for each, probability in judged:
                    sounds += endpoint.judge(each, probability)
        sounds += endpoint.tick()


def _changes_sound(audio: AudioSettings) -> bool:
    """Whether a listener at another rate must get the conditioned sound as well.

    The high-pass is for the judge of speech; who is given raw sound can do without.
    """
    return audio.echo_cancellation or audio.noise_reduction or audio.auto_gain_control


def _judge_for(config: VoiceConfig, silero: Silero | None) -> SileroJudge | WebRtcJudge | None:
    """Return who finds the turns; nobody when the talk key does."""
    if not config.audio.vad_enabled:
        return None
    if config.conversation_mode == "push_to_talk" and config.audio.vad == "silero" and not silero:
        return None  # nobody asks it, unless the caller changes to hands-free
    if config.audio.vad == "webrtc":
        return WebRtcJudge()
    if silero is None:
        raise AudioError(
            "audio.vad is 'silero' but no model was given; pass "
            "Silero(weights.find('silero-vad', config.models)) or set audio.vad: webrtc."
        )
    return SileroJudge(silero)
