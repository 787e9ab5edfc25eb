"""The user's side of a session: sound in; what turns are made of, and raw frames, out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..audio import AudioProcessor, Sound
from ..config import VoiceConfig
from ..events import AudioFrame, Mode
from .call import Call
from .clock import ArrivalClock
from .recording import Recording

if TYPE_CHECKING:
    from ..host import Host


class Microphone:
    """One caller's microphone: open or muted, hands-free or by key.

    ``rate`` is that of its sound. ``take`` gets what the front end makes of it.
    """

    def __init__(
        self, host: Host, call: Call, rate: int, front: AudioProcessor | None = None
    ) -> None:
        config = host.config
        listens = "turns" in host.needs
        self.processor = front or AudioProcessor(
            config if listens else _deaf(config),
            input_rate=rate,
            far_rate=config.audio.sample_rate,
            silero=host.hearing.silero if listens else None,
            mic_rate=call.mic_rate,
        )
        self.rate = rate
        self.clock = ArrivalClock()
        self.mode: Mode = config.conversation_mode
        self.muted = False
        self.recording: Recording | None = None
        self.take: Callable[[list[Sound]], None] = lambda sounds: None
        self._call = call

    @property
    def position(self) -> int:
        """Samples at 16 kHz that were heard."""
        return self.processor.position

    def listen(self, pcm: bytes) -> None:
        """Take the next bytes."""
        now = asyncio.get_running_loop().time()
        speaking = self._call.speaking
        if self.muted or (self.mode == "turn_based" and speaking):
            pcm = bytes(len(pcm))  # not the user's turn; time goes on
        if self.recording is not None:
            self.recording.microphone(pcm, now)
        self.processor.hurried = speaking and self._call.barge_in
        sounds = self.processor.push(pcm)
        self.clock.arrived(self.processor.position, now)
        self._give(sounds)

    def talk_key(self, down: bool) -> None:
        """The user's key went down or up."""
        self._give(self.processor.talk_key(down))

    def use(self, mode: Mode) -> None:
        """Take turns in another way from now on."""
        if mode == "push_to_talk" and not self.processor.push_to_talk:
            self._give(self.processor.end_now())
        self.mode = mode
        self.processor.push_to_talk = mode == "push_to_talk"

    def finish(self) -> None:
        """No more sound comes."""
        self._give(self.processor.finish())

    def _give(self, sounds: list[Sound]) -> None:
        for sound in sounds:
            if isinstance(sound, AudioFrame):
                self._call.mic.put(sound)
        self.take(sounds)


def _deaf(config: VoiceConfig) -> VoiceConfig:
    """The same settings without turn detection, for strategies that listen themselves."""
    audio = config.audio.model_copy(update={"vad_enabled": False})
    return config.model_copy(update={"audio": audio})
