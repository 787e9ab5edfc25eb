"""A conversation that is recorded, through the door."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from closing import close
from lines import House
from scripted import RATE, scripted_host

from coda_voice_plugin.events import AudioFrame, Hello, Played, SessionReady, SpeechEnd, TurnEnded
from coda_voice_plugin.server import make_app
from coda_voice_plugin.session.recording import find

SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")
HELLO = Hello(16_000, reports_playback=True)


@pytest.mark.skipif(not SPEECH.exists(), reason="needs Debian's pocketsphinx-testdata")
async def test_both_sides_of_a_conversation_are_on_disk(tmp_path: Path) -> None:
    speech = spoken()
    frames = [AudioFrame(speech[at : at + 640], 16_000) for at in range(0, len(speech), 640)]
    async with scripted_host(tmp_path, hears=["go forward"], recorded=True) as host:
        runner = web.AppRunner(make_app(host), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"ws://127.0.0.1:{runner.addresses[0][1]}/v1/voice"
            async with aiohttp.ClientSession() as http:
                house = House(host, http, url)
                async with house.line(HELLO) as line:
                    ready = await line.hear(SessionReady)
                    await line.say(*frames)
                    end = await line.hear(SpeechEnd)
                    await line.say(Played(end.turn, end.samples, final=True))
                    turn = (await line.hear(TurnEnded)).turn
                await house.calls(0)
        finally:
            await close(runner)
    path = find(tmp_path / "sessions.db", ready.session)
    assert path is not None
    assert turn.user == "go forward"
    left, right = read(path).T
    assert loud_s(left) == pytest.approx(loud_s(np.frombuffer(speech, "<i2"), 16_000), abs=0.1)
    assert loud_s(right) == pytest.approx(end.samples / RATE, abs=0.1)


def spoken() -> bytes:
    """Somebody who speaks and then is silent; 16 kHz PCM16."""
    return SPEECH.read_bytes() + bytes(64_000)


def read(path: Path) -> np.ndarray[Any, Any]:
    """Rows: left, right."""
    with wave.open(str(path)) as file:
        assert file.getframerate() == RATE
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


def loud_s(samples: np.ndarray[Any, Any], rate: int = RATE) -> float:
    """Seconds of sound that is no silence."""
    block = rate // 50
    blocks = samples[: len(samples) // block * block].reshape(-1, block).astype(float)
    return float((np.abs(blocks).max(axis=1) > 300).sum() * 0.02)
