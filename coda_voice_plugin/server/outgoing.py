"""Events for one client as messages: coded as was agreed, as finely as its network allows."""

from __future__ import annotations

from ..audio.packets import PACKET_RATES
from ..errors import EngineMissingError, WireError
from ..events import (
    Caption,
    Coding,
    Hello,
    Ping,
    Played,
    ServerEvent,
    Speech,
    SpeechEnd,
)
from ..wire.voice import encode
from ..wire.voice_opus import MicSound, SpeechPackets
from .outbox import Message
from .quality import Quality


class Outgoing:
    """What a session tells, as messages for one client. No I/O."""

    def __init__(self, rate: int, accepted: tuple[Coding, ...]) -> None:
        self._packets: SpeechPackets | None = None
        self._quality = Quality(rate)
        self.coding = self._agree(rate, accepted)
        """How speech is sent."""

    def write(self, event: ServerEvent) -> list[Message]:
        """The messages for ``event``; raises WireError for what the protocol cannot carry."""
        if self._packets is None:
            return [Message(encode(event), *_place(event))]
        self._quality.sent(event)
        messages = [
            Message(packet.message, packet.turn, packet.end)
            for packet in self._packets.write(event)
        ]
        if not isinstance(event, Speech):
            messages.append(Message(encode(event), *_place(event)))
        return messages

    def reported(self, report: Played | Ping, now: float) -> None:
        """The client tells how far it is: perhaps speech has to be coded otherwise."""
        if self._packets is None:
            return
        before = self._quality.rung
        match report:
            case Played():
                self._quality.played(report, now)
            case Ping(rtt_ms=rtt_ms):
                self._quality.pinged(rtt_ms, now)
        rung = self._quality.rung
        if rung != before:
            self._packets.change(rung.frame_ms, rung.bitrate)

    def _agree(self, rate: int, accepted: tuple[Coding, ...]) -> Coding:
        """The first of ``accepted`` that can be had; raises WireError when none can."""
        for coding in accepted:
            if coding == "pcm16":
                return coding
            if rate in PACKET_RATES:
                try:
                    self._packets = SpeechPackets(rate)
                except EngineMissingError:
                    continue
                return coding
        raise WireError(
            "this server cannot send Opus (its rate, or PyAV, is missing); say hello with "
            '"output": ["opus", "pcm16"].'
        )


def mic_sound(hello: Hello) -> MicSound | None:
    """Who reads the microphone of ``hello``; None for PCM16. Raises WireError without PyAV."""
    if hello.input == "pcm16":
        return None
    try:
        return MicSound()
    except EngineMissingError as error:
        raise WireError(f"this server cannot read Opus: {error}") from error


def _place(event: ServerEvent) -> tuple[int, int]:
    """The reply that ``event`` belongs to, and where its sound ends there."""
    match event:
        case Speech(turn, frame):
            return turn, frame.end
        case Caption(turn=turn) | SpeechEnd(turn=turn):
            return turn, 0
        case _:
            return 0, 0
