"""A world without models: a host whose ear, mouth and mind are scripted.

The user's words are numbers: word ``k`` is a stretch of sound of amplitude
``(100 + k) / 1000``, which the scripted recogniser reads back. So every rule of the
real ear (the endpointer, pauses, pre-roll) is at work, and every word can be traced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ..audio import AudioProcessor, Floats, Sound
from ..audio.endpoint import Endpoint
from ..audio.live import Framing
from ..config import VoiceConfig
from ..engine import Engine
from ..errors import StoreError
from ..events import MIC_RATE, AudioFrame, Hello, Turn
from ..host import Hearing, Host
from ..plugins import Plugins
from ..session import Session
from ..session.store import Store
from ..strategy import Strategy
from ..threads import ModelThread
from .people import Listener
from .scripted import RATE, WINDOW, ScriptedLLM, ScriptedSTT, ScriptedTTS


def config(**changes: Any) -> VoiceConfig:
    """Settings of the scripted world: coarse frames, quick ends, no files."""
    settings: dict[str, Any] = {
        "audio": {"sample_rate": RATE, "chunk_size": 400, "vad": "webrtc"},
        "turn": {"acoustic_hint": False, "text_hint": False, "unsure_ms": 480}
        | {"barge_in_ms": 160, "interrupt_ms": 0},  # who speaks up interrupts at once
        "store": {"enabled": False},
    }
    for key, value in changes.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return VoiceConfig.model_validate(settings)


class ScriptedFront:
    """The front end with its judge replaced by the loudness of the scripted sound.

    Its frames are that sound at ``mic_rate``, each sample the nearest one before it.
    """

    def __init__(self, settings: VoiceConfig, mic_rate: int = MIC_RATE) -> None:
        self._endpoint = Endpoint(settings.turn, settings.audio)
        self._framing = Framing(mic_rate)
        self._mic_rate = mic_rate
        self._framed = 0  # samples at mic_rate

    @property
    def position(self) -> int:
        return self._endpoint.now

    @property
    def hurried(self) -> bool:
        return self._endpoint.hurried

    @hurried.setter
    def hurried(self, hurried: bool) -> None:
        self._endpoint.hurried = hurried

    def push(self, pcm: bytes) -> list[Sound]:
        samples = np.frombuffer(pcm, "<f4")
        sounds: list[Sound] = [*self._frames(samples)]
        for first in range(0, len(samples), WINDOW):
            window = samples[first : first + WINDOW]
            start = self._endpoint.now
            self._endpoint.hear(window)
            sounds += self._endpoint.judge(start, 1.0 if window[0] > 0.05 else 0.0)
            sounds += self._endpoint.tick()
        return sounds

    def _frames(self, samples: Floats) -> list[AudioFrame]:
        begin = self._endpoint.now
        end = (begin + len(samples)) * self._mic_rate // MIC_RATE
        places = np.arange(self._framed, end) * MIC_RATE // self._mic_rate - begin
        self._framed = end
        return self._framing.push(samples[places.clip(0)])

    def far(self, pcm: bytes) -> None:
        pass

    def finish(self) -> list[Sound]:
        return self._endpoint.end_now()

    def set_patience(self, ms: int) -> list[Sound]:
        return self._endpoint.set_patience(ms)

    def talk_key(self, down: bool) -> list[Sound]:
        return self._endpoint.talk_key(down)

    def end_now(self) -> list[Sound]:
        return self._endpoint.end_now()


class MemoryStore:
    """Keeps turns in memory, in the order in which they were stored."""

    def __init__(self) -> None:
        self.turns_kept: list[Turn] = []
        self.sessions: dict[str, list[Turn]] = {}
        self.failures = 0
        self.ended: list[str] = []

    async def begin(
        self,
        session_id: str,
        strategy: str,
        stt: str,
        tts: str,
        llm: str,
        *,
        key: str | None = None,
    ) -> None:
        await asyncio.sleep(0)
        self.sessions[session_id] = []

    async def resume(self, session_id: str, *, key: str | None = None) -> list[Turn] | None:
        await asyncio.sleep(0)
        turns = self.sessions.get(session_id)
        return None if turns is None else list(turns)

    async def add_turn(self, session_id: str, turn: Turn) -> None:
        await asyncio.sleep(0.002)
        self.turns_kept.append(turn)
        self.sessions.setdefault(session_id, []).append(turn)
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full; the turn is kept in memory.")

    async def end(self, session_id: str, reason: str) -> None:
        self.ended.append(reason)


class World:
    """One host, whose engines are scripted unless ``engines`` gives another for
    "stt", "tts" or "llm" (opened). ``hearing`` is for sessions with a real front end."""

    def __init__(
        self,
        strategy: Strategy,
        settings: VoiceConfig | None = None,
        plugins: Plugins | None = None,
        engines: Mapping[str, Engine] | None = None,
        hearing: Hearing | None = None,
    ) -> None:
        self.config = settings or config()
        self.stt = ScriptedSTT(self.config)
        self.tts = ScriptedTTS(self.config)
        self.llm = ScriptedLLM(self.config)
        self.store = MemoryStore()
        if plugins is None:
            plugins = Plugins()
            plugins.collect()
        scripted: dict[str, Engine] = {"stt": self.stt, "tts": self.tts, "llm": self.llm}
        self.host = Host(
            self.config,
            plugins,
            strategy,
            scripted | dict(engines or {}),
            hearing or Hearing(None, None, ModelThread("unused")),
            cast("Store", self.store),
        )

    def session(self, listener: Listener, name: str | None = None) -> Session:
        """A call of ``listener``, not run yet; its user is a :class:`User`. With ``name`` the
        conversation of that id goes on."""
        session = Session(
            self.host,
            listener.send,
            Hello(rate=16_000, reports_playback=listener.reports, session=name),
            front=cast("AudioProcessor", ScriptedFront(self.config, self.host.strategy.mic_rate)),
        )
        listener.session = session
        return session
