"""One client's sound on Coda's port: a session between its binary messages and the voice."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coda_voice_plugin import AudioError, AudioFrame, Host, Session, WireError
from coda_voice_plugin.audio import Resampler, to_floats, to_pcm
from coda_voice_plugin.events import ClientEvent, Hello, ServerEvent, Speech
from coda_voice_plugin.wire.voice import MAX_RATE, MIN_RATE

DEFAULT_RATE = 16_000
"""Hertz of a client that names none: Coda's own default."""
BEHIND_S = 5.0
"""A client that has not read for so long is ended."""
ENCODINGS = ("pcm16", "pcm", "wav")


@dataclass(frozen=True, slots=True)
class Greeting:
    """How a client sends and wants sound: the ``config`` of ``audio_session_start``."""

    rate: int = DEFAULT_RATE
    """Hertz of what it sends."""
    output_rate: int | None = None
    """Hertz of what it gets; None: that of the voice."""
    reports_playback: bool = False

    @classmethod
    def read(cls, config: Any) -> Greeting:
        """Raises WireError for what cannot be; fields that are not ours are left out."""
        if not isinstance(config, Mapping):
            raise WireError("audio_session_start: config is an object.")
        encoding = config.get("encoding", config.get("format", "pcm16"))
        if encoding not in ENCODINGS:
            raise WireError(f"config.encoding {encoding!r}: one of {', '.join(ENCODINGS)}.")
        if config.get("channels", 1) != 1:
            raise WireError("config.channels: sound is mono here.")
        rate = config.get("sample_rate", DEFAULT_RATE)
        output = config.get("output_sample_rate")
        for name, value in (("sample_rate", rate), ("output_sample_rate", output)):
            if value is not None and not _is_rate(value):
                raise WireError(f"config.{name} {value!r}: {MIN_RATE} to {MAX_RATE} Hz.")
        reports = config.get("reports_playback", False)
        if not isinstance(reports, bool):
            raise WireError("config.reports_playback: true or false.")
        return cls(rate, output, reports)


class AudioLine:
    """A conversation over one audio session. Its only loop is the session's."""

    def __init__(
        self,
        host: Host,
        session_id: str,
        greeting: Greeting,
        tell: Callable[[ServerEvent], Awaitable[None]],
    ) -> None:
        self.session_id = session_id
        self.greeting = greeting
        self.heard = 0
        """Binary messages that came."""
        self._host = host
        self._tell = tell
        hello = Hello(greeting.rate, greeting.reports_playback)
        self._session = Session(host, self._send, hello, session_id)
        self._rate: int = host.config.audio.sample_rate
        self._turn = 0
        self._resampler = self._make_resampler()

    async def run(self) -> None:
        """Converse until the client ends or the voice does; raises what broke it."""
        with self._host.admit():
            await self._session.run()

    def close(self) -> None:
        """The client ends the audio session: what was said is written down."""
        self._session.close()

    def hear(self, data: bytes) -> None:
        """Take one binary message: PCM16, or a whole WAV file. Raises AudioError."""
        self.heard += 1
        if data[:4] == b"RIFF":
            data = pcm_of(data, self.greeting.rate)
        if not data or len(data) % 2:
            raise AudioError(f"{len(data)} bytes are no 16-bit samples (PCM16, mono).")
        self._session.receive(AudioFrame(data, self.greeting.rate))

    def receive(self, event: ClientEvent) -> None:
        """Take anything else that the client says."""
        self._session.receive(event)

    def terms(self) -> dict[str, Any]:
        """What the client is told of the sound that it will get."""
        rate = self.greeting.output_rate or self._rate
        return {
            "input_sample_rate": self.greeting.rate,
            "output_sample_rate": rate,
            "encoding": "pcm16",
            "mode": self._host.config.conversation_mode,
            "strategy": self._host.strategy.name,
        }

    def spoken(self, speech: Speech) -> bytes:
        """A frame of a reply as PCM16 at the rate that the client wants."""
        if self.greeting.output_rate in (None, self._rate):
            return speech.frame.pcm
        if speech.turn != self._turn:
            self._turn, self._resampler = speech.turn, self._make_resampler()
        return to_pcm(self._resampler.push(to_floats(speech.frame.pcm)))

    def _make_resampler(self) -> Resampler:
        return Resampler(self._rate, self.greeting.output_rate or self._rate)

    async def _send(self, event: ServerEvent) -> None:
        try:
            async with asyncio.timeout(BEHIND_S):
                await self._tell(event)
        except TimeoutError:
            raise WireError(
                f"the client did not read for {BEHIND_S:g} seconds; connect again."
            ) from None


def _is_rate(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and MIN_RATE <= value <= MAX_RATE


def pcm_of(data: bytes, rate: int) -> bytes:
    """The samples of a WAV file at ``rate``, mono; raises AudioError."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, own = file.getsampwidth(), file.getnchannels(), file.getframerate()
            pcm: bytes = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise AudioError(f"this is no WAV file that can be read: {error}.") from error
    if width != 2 or channels != 1:
        raise AudioError(f"a WAV file of {8 * width} bits, {channels} channels: send PCM16 mono.")
    if own == rate:
        return pcm
    resampler = Resampler(own, rate)
    samples: bytes = to_pcm(resampler.push(to_floats(pcm)))
    rest: bytes = to_pcm(resampler.finish())
    return samples + rest
