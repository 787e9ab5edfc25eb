"""A world without models: scripted ears, mouths and minds, a user, a listener.

The user's words are numbers: word ``k`` is a stretch of sound of amplitude
``(100 + k) / 1000``, which the scripted recogniser reads back. So every rule of the
real ear (the endpointer, pauses, pre-roll) is at work, and every word can be traced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np

from coda_voice_plugin import (
    ChatOptions,
    EngineError,
    LanguageModel,
    Message,
    Plugins,
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    StoreError,
    Strategy,
    TextToSpeech,
    Tool,
    ToolCall,
    Turn,
    VoiceConfig,
)
from coda_voice_plugin.audio import AudioFrame, Floats, Sound
from coda_voice_plugin.audio.endpoint import Endpoint
from coda_voice_plugin.engine import ModelThread
from coda_voice_plugin.events import Flush, Hello, Played, ServerEvent, Speech
from coda_voice_plugin.host import Hearing, Host
from coda_voice_plugin.session import Session

WINDOW = 512
WORD_S = 0.32
"""Length of one spoken word of the user: ten windows."""
RATE = 8_000
"""Output rate of scripted speech."""
LETTER = RATE // 20
"""Samples of one letter of scripted speech: 50 ms."""


def config(**changes: Any) -> VoiceConfig:
    """Settings of the scripted world: coarse frames, quick ends, no files."""
    settings: dict[str, Any] = {
        "audio": {"sample_rate": RATE, "chunk_size": 400, "vad": "webrtc"},
        "turn": {"acoustic_hint": False, "text_hint": False, "unsure_ms": 480},
        "store": {"enabled": False},
    }
    for key, value in changes.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return VoiceConfig.model_validate(settings)


class ScriptedFront:
    """The front end with its judge replaced by the loudness of the scripted sound."""

    def __init__(self, settings: VoiceConfig) -> None:
        self._endpoint = Endpoint(settings.turn, settings.audio)

    @property
    def position(self) -> int:
        return self._endpoint.now

    def push(self, pcm: bytes) -> list[Sound]:
        samples = np.frombuffer(pcm, "<f4")
        sounds: list[Sound] = []
        for first in range(0, len(samples), WINDOW):
            window = samples[first : first + WINDOW]
            start = self._endpoint.now
            self._endpoint.hear(window)
            sounds += self._endpoint.judge(start, 1.0 if window[0] > 0.05 else 0.0)
            sounds += self._endpoint.tick()
        return sounds

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


class ScriptedRecognition(Recognition):
    def __init__(self, stt: ScriptedSTT) -> None:
        self._stt = stt
        self._sound: list[Floats] = []

    def accept(self, samples: Floats) -> None:
        self._sound.append(samples)

    async def text(self, *, final: bool) -> str:
        sound = np.concatenate(self._sound)
        if self._stt.delay:
            await asyncio.sleep(self._stt.delay)
        if final and self._stt.failures:
            self._stt.failures -= 1
            raise EngineError("scripted", "the recogniser broke.")
        windows = np.rint(sound[WINDOW // 2 :: WINDOW] * 1000).astype(int)
        words: list[str] = []
        for value in windows[windows > 50]:
            word = f"u{value - 100}"
            if not words or words[-1] != word:
                words.append(word)
        return " ".join(words)


class ScriptedSTT(SpeechToText):
    name = "scripted"

    def __init__(self, settings: VoiceConfig, delay: float = 0.02) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0

    def listen(self) -> Recognition:
        return ScriptedRecognition(self)


class ScriptedTTS(TextToSpeech):
    """Every letter lasts 50 ms; words are spread by the reply itself."""

    name = "scripted"
    sample_rate = RATE

    def __init__(self, settings: VoiceConfig, delay: float = 0.01) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0
        self.spoken: list[str] = []

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        await asyncio.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise EngineError("scripted", "the voice broke.")
        self.spoken.append(text)
        samples = np.full((len(text) + 1) * LETTER, 0.1, np.float32)
        half = len(samples) // 2
        yield SpokenAudio(samples[:half])
        await asyncio.sleep(self.delay)
        yield SpokenAudio(samples[half:])


class ScriptedLLM(LanguageModel):
    """Answers the n-th question with words an1 an2 ..., one token at a time."""

    name = "scripted"
    supports_tools = True

    def __init__(self, settings: VoiceConfig) -> None:
        super().__init__(settings)
        self.first_token = 0.05
        self.between = 0.01
        self.words = 12
        self.failures = 0
        self.fail_after = 3
        self.writing = 0
        self.asked: list[tuple[Message, ...]] = []
        self.script: list[list[str | ToolCall]] = []
        self.model = ""
        self.yielded = 0

    @property
    def label(self) -> str:
        return f"{self.name} {self.model}".strip()

    async def switch(self, model: str) -> None:
        await asyncio.sleep(0.02)
        if model == "none":
            raise EngineError(self.name, f"has no model {model!r}.")
        self.model = model

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        self.writing += 1
        self.asked.append(tuple(messages))
        number = len(self.asked)
        pieces = self.script.pop(0) if self.script else self._words(number)
        try:
            await asyncio.sleep(self.first_token)
            for count, piece in enumerate(pieces):
                if self.failures and count == self.fail_after:
                    self.failures -= 1
                    raise EngineError("scripted", "the mind broke.")
                self.yielded += 1
                yield piece
                await asyncio.sleep(self.between)
        finally:
            self.writing -= 1

    def _words(self, number: int) -> list[str | ToolCall]:
        ends = {4: ".", self.words - 1: "."}
        return [f"a{number}x{n}{ends.get(n, '')} " for n in range(self.words)]


class MemoryStore:
    """Keeps turns in memory, in the order in which they were stored."""

    def __init__(self) -> None:
        self.turns_kept: list[Turn] = []
        self.failures = 0
        self.ended: list[str] = []

    async def begin(self, session_id: str, strategy: str, stt: str, tts: str, llm: str) -> None:
        await asyncio.sleep(0)

    async def add_turn(self, session_id: str, turn: Turn) -> None:
        await asyncio.sleep(0.002)
        self.turns_kept.append(turn)
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full; the turn is kept in memory.")

    async def end(self, session_id: str, reason: str) -> None:
        self.ended.append(reason)


class World:
    """One host of scripted engines."""

    def __init__(
        self,
        strategy: Strategy,
        settings: VoiceConfig | None = None,
        plugins: Plugins | None = None,
    ) -> None:
        self.config = settings or config()
        self.stt = ScriptedSTT(self.config)
        self.tts = ScriptedTTS(self.config)
        self.llm = ScriptedLLM(self.config)
        self.store = MemoryStore()
        if plugins is None:
            plugins = Plugins()
            plugins.collect()
        self.host = Host(
            self.config,
            plugins,
            strategy,
            {"stt": self.stt, "tts": self.tts, "llm": self.llm},
            Hearing(None, None, ModelThread("unused")),
            self.store,  # type: ignore[arg-type]
        )

    def session(self, listener: Listener) -> Session:
        session = Session(
            self.host,
            listener.send,
            Hello(rate=16_000, reports_playback=listener.reports),
            front=ScriptedFront(self.config),  # type: ignore[arg-type]
        )
        listener.session = session
        return session


class Listener:
    """A client with a loudspeaker: plays in real time, remembers what was heard."""

    def __init__(self, *, reports: bool = False, delay: float = 0.0) -> None:
        self.reports = reports
        self.delay = delay
        """Seconds that each message takes on its way (a slow reader)."""
        self.events: list[tuple[float, ServerEvent]] = []
        self.session: Session | None = None
        self.received: dict[int, int] = {}
        """Samples that arrived, by turn."""
        self.flushed: dict[int, int] = {}
        """Position at which each flushed turn stopped."""
        self._until: dict[int, float] = {}

    async def send(self, event: ServerEvent) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        now = asyncio.get_running_loop().time()
        self.events.append((now, event))
        if isinstance(event, Speech):
            turn, samples = event.turn, event.frame.samples
            assert event.frame.start == self.received.get(turn, 0), "a gap or an overlap"
            self.received[turn] = event.frame.end
            self._until[turn] = max(self._until.get(turn, 0.0), now) + samples / RATE
            self._report(turn, now)
            if self.reports:
                loop = asyncio.get_running_loop()
                loop.call_at(self._until[turn], self._report, turn, self._until[turn])
        elif isinstance(event, Flush):
            self.flushed[event.turn] = self.position(event.turn, now)
            self._report(event.turn, now, final=True)

    def position(self, turn: int, now: float) -> int:
        """Samples of ``turn`` that have left the loudspeaker."""
        if turn in self.flushed:
            return self.flushed[turn]
        ahead = max(0.0, self._until.get(turn, 0.0) - now)
        return max(0, self.received.get(turn, 0) - round(ahead * RATE))

    def of(self, *kinds: type) -> list[Any]:
        """The events of these kinds, in order."""
        return [event for _, event in self.events if isinstance(event, kinds)]

    def _report(self, turn: int, now: float, *, final: bool = False) -> None:
        if self.reports and self.session is not None:
            self.session.receive(Played(turn, self.position(turn, now), final))


class User:
    """Speaks numbered words into a session, in real time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.said = 0

    async def speak(self, words: int) -> str:
        """Say ``words`` new words; return them."""
        first = self.said
        for _ in range(words):
            await self.sound((100 + self.said) / 1000, WORD_S)
            self.said += 1
        return " ".join(f"u{n}" for n in range(first, self.said))

    async def silence(self, seconds: float) -> None:
        await self.sound(0.0, seconds)

    async def sound(self, level: float, seconds: float) -> None:
        window = np.full(WINDOW, level, "<f4").tobytes()
        for _ in range(round(seconds * 16_000 / WINDOW)):
            self._session.receive(AudioFrame(window))
            await asyncio.sleep(WINDOW / 16_000)
