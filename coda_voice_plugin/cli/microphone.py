"""A client inside the process, made of this machine's microphone and loudspeaker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ..events import AudioFrame, Flush, Held, Hello, Played, ServerEvent, Speech
from ..session import Session
from .devices import DeviceLoudspeaker, microphone_rate, open_devices

if TYPE_CHECKING:
    from ..host import Host


async def converse(host: Host, show: Callable[[ServerEvent], None]) -> int:
    """Talk until Ctrl-C. Raises AudioError when no device can be opened."""
    loop = asyncio.get_running_loop()
    rate, out_rate = microphone_rate(), host.config.audio.sample_rate
    speaker = DeviceLoudspeaker()
    speaker.begin(out_rate)

    async def send(event: ServerEvent) -> None:
        match event:
            case Speech(turn, frame):
                speaker.play(turn, frame)
            case Held(held=held):
                speaker.hold(held)
            case Flush(turn):
                session.receive(Played(turn, speaker.flush(turn), final=True))
        show(event)

    session = Session(host, send, Hello(rate=rate, reports_playback=True))

    def heard(pcm: bytes) -> None:
        loop.call_soon_threadsafe(session.receive, AudioFrame(pcm, rate))

    def wanted(out: memoryview) -> None:
        if speaker.fill(out):
            place = speaker.place()
            loop.call_soon_threadsafe(session.receive, Played(place.turn, place.samples))

    with host.admit(), open_devices(rate, out_rate, heard, wanted):
        click.echo("Speak; Ctrl-C ends it.", err=True)
        await session.run()
    return 0
