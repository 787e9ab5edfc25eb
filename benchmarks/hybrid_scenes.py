"""The calls of ``hybrid.py``: real session, wheel, slots and scripts; models that are written
down, on a virtual clock.

Moshi takes 20 ms for a step, an H100's time for one slot; the mind writes 40 tokens a second
once it has begun; the voice needs 60 ms for its first sound. What the two voices say can be
told apart: Moshi's samples are above zero, the other's below.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "strategies"))

from hybrid_scene import Moshi, ScriptedHybrid
from stage import Words

from coda_voice_plugin import SpokenAudio
from coda_voice_plugin.events import Caption, Speech, TurnEnded
from coda_voice_plugin.kyutai.frames import MoshiInput, MoshiOutput, TextRule
from coda_voice_plugin.kyutai.script import EPAD, PAD
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, ScriptedLLM, ScriptedTTS, User, World, run_virtual
from coda_voice_plugin.testing import config as scripted

RATE = 24_000
LETTER_S = 0.05
STEP_S = 0.02
TOKEN_S = 0.025
VOICE_S = 0.06
WANTS = 0.5
"""How often a Moshi that may begin a given word does so by itself; else the script begins it."""
LOUD = 0.005
"""Level above which a sample is a voice."""
PATIENCE_S = 60.0
"""An answer that takes longer is a fault of this benchmark."""
SAYING = "oh well, that is a thing I like to think about, and there is a lot to say"
"""Moshi's own opener."""

QUESTIONS = (
    "What is the capital of France?",
    "How far is it to the moon?",
    "Tell me about the sea.",
    "Who wrote the first novel?",
    "I'd like to know ~ why the sky is blue.",
    "Can you name three rivers in Spain?",
    "Remind me to call Anna tomorrow.",
    "Is it going to rain today?",
    "bees in winter",
    "So ~ what should I cook tonight?",
)
"""What the user says; ``~`` is a pause for thought."""


@dataclass(frozen=True)
class Point:
    """What is varied. ``way`` is "cascade" for the strategy ``ollama``, whose own opener after
    a long silence is left out with ``opener`` "none"."""

    way: str = "handover"
    opener: str = "phrase"
    first_token: float = 0.5
    predictive: bool = True
    early: bool = True
    token_s: float = TOKEN_S


@dataclass
class Answered:
    """One turn; times in ms."""

    first_token: float
    """What the mind takes."""
    timings: dict[str, float]
    gap: float | None = None
    """From the opener's last audible sample to the answer's first, where the answer was ready."""
    late: float | None = None
    """From the answer's first sound being made to its being heard, where it was late."""
    disorder: int = 0
    """Samples of Moshi's behind the first of the other voice."""


@dataclass
class Said:
    """One word in Moshi's mouth; times in ms."""

    begun: float
    """From the mind's token that made the word whole to Moshi's first token of it."""
    sound: float
    """From that token to the frame with its sound."""
    client: float | None
    """From that token to the frame's leaving for the client."""


@dataclass
class Found:
    """What came of the calls of one point."""

    turns: list[Answered] = field(default_factory=list)
    words: list[Said] = field(default_factory=list)


class Pieces:
    """A tokenizer that cuts words into pieces of up to six letters."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def encode(self, word: str) -> list[int]:
        cut = [word[at : at + 6] for at in range(0, len(word), 6)]
        return [self._id(("▁" if at == 0 else "") + piece) for at, piece in enumerate(cut)]

    def _id(self, piece: str) -> int:
        if piece not in self._pieces:
            self._pieces.append(piece)
        return 10 + self._pieces.index(piece)

    def vocab_size(self) -> int:
        return 100_000

    def id_to_piece(self, token: int) -> str:
        return self._pieces[token - 10]


class Willing(Moshi):
    """Sometimes begins a given word before it is made to, and notes when its tokens come."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.tokenizer = Pieces()
        self.saying = SAYING
        self.cost = STEP_S
        self.written: list[tuple[float, int]] = []
        """Each text token that is no padding, and when the step was over."""
        self.sounded: dict[int, float] = {}
        """When the frame of a token came, the first time."""
        self._rng = rng

    def _one(self, slot: int, given: MoshiInput) -> MoshiOutput:
        offered = given.text == TextRule(on_word=EPAD)
        if offered and self._rng.random() < WANTS:
            given = replace(given, text=TextRule(on_pad=EPAD, on_word=EPAD))
        out = super()._one(slot, given)
        now = asyncio.get_running_loop().time()
        if out.token > PAD:
            self.written.append((now, out.token))
        if out.sound is not None and out.text is not None and out.text > PAD:
            self.sounded.setdefault(out.text, now)
        return out


class Mind(ScriptedLLM):
    """Writes words that nobody wrote before, in tokens that carry the space before them."""

    def __init__(self, settings: Any, rng: random.Random, point: Point) -> None:
        super().__init__(settings)
        self.first_token = point.first_token
        self.between = point.token_s
        self.whole: dict[str, float] = {}
        """When each word was known to be whole, by its first four letters."""
        self._rng = rng
        syllables = product("bdfgklm", "aeio", "nprst", "aou")
        self._heads = ["".join(letters) for letters in syllables]
        rng.shuffle(self._heads)

    async def chat(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        word = ""
        async for piece in super().chat(*args, **kwargs):
            if piece.startswith(" ") or not word:
                self._note(word)
                word = ""
            word += piece
            yield piece
        self._note(word)

    def _note(self, word: str) -> None:
        if word:
            self.whole[word.strip()[:4].lower()] = asyncio.get_running_loop().time()

    def _words(self, number: int) -> list[Any]:
        count = self._rng.randint(7, 10)
        comma = self._rng.randint(2, 4)
        tokens: list[Any] = []
        for place in range(count):
            word = self._heads.pop() + "rentalso"[: self._rng.randint(1, 5)]
            ends = "." if place == count - 1 else "," if place == comma else ""
            text = (word if place else word.capitalize()) + ends
            tokens += [("" if place == 0 else " ") + text[:5], text[5:]]
        return [token for token in tokens if token]


class Voice(ScriptedTTS):
    """The other voice: below zero."""

    sample_rate = RATE

    async def synthesize(self, text: str, style: Any) -> AsyncGenerator[SpokenAudio, None]:
        await asyncio.sleep(VOICE_S)
        samples = np.full(round((len(text) + 1) * LETTER_S * RATE), -0.1, np.float32)
        half = len(samples) // 2
        yield SpokenAudio(samples[:half])
        await asyncio.sleep(VOICE_S)
        yield SpokenAudio(samples[half:])


class Scene:
    """One call: its world, who listens, and a user whose words have their own lengths."""

    def __init__(self, point: Point, seed: int, questions: Sequence[str]) -> None:
        self.point = point
        self.rng = random.Random(seed)
        self.questions = questions
        self.model = Willing(random.Random(seed + 1))
        cascade = point.way == "cascade"
        self.settings = scripted(
            # as they are for everybody, but for the melody, which needs a model
            audio={"sample_rate": RATE, "chunk_size": 960},
            turn={"text_hint": True, "unsure_ms": 700, "barge_in_ms": 100, "interrupt_ms": 700},
            moshi={"opening": "listen"},
            fallback={"ladder": ["hybrid", "moshi", "ollama"]},
            external_llm={"parallel_processing": point.early},
            hybrid={"opener": point.opener, "predictive": point.predictive}
            | ({} if cascade else {"way": point.way}),
            speed={"openers": ()} if cascade and point.opener == "none" else {},
        )
        said = [word for each in questions for word in each.split() if word != "~"]
        self.mind = Mind(self.settings, random.Random(seed + 2), point)
        engines = {
            "stt": Words(self.settings, said),
            "llm": self.mind,
            "tts": Voice(self.settings),
        }
        strategy = OllamaStrategy() if cascade else ScriptedHybrid(self.model)
        self.world = World(strategy, self.settings, engines=engines)
        self.listener = Listener(reports=True)
        self.session = self.world.session(self.listener)
        self.user = User(self.session)

    def play(self, talk: Any) -> None:
        """Hold the call while ``talk(scene)`` happens."""

        async def run() -> None:
            async with self.world.host.strategy.open(self.world.host):
                await asyncio.sleep(self.rng.uniform(0.0, 0.08))
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.session.run())
                    await self.user.silence(0.5)
                    await talk(self)
                    self.session.close()

        run_virtual(run())

    async def ask(self, question: str) -> None:
        """Say it, at any phase of the tick."""
        await self.user.silence(0.032 * self.rng.randint(1, 5))
        for word in question.split():
            if word == "~":
                await self.user.silence(0.35)
                continue
            await self.user.sound((100 + self.user.said) / 1000, self.rng.uniform(0.2, 0.55))
            self.user.said += 1

    async def until(self, happens: Any) -> None:
        """Be silent until ``happens()``."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + PATIENCE_S
        while not happens():
            if loop.time() > limit:
                raise RuntimeError(f"{self.point} waited for {PATIENCE_S:g} s")
            await self.user.silence(0.032)

    def turns(self) -> list[Any]:
        return [each.turn for each in self.listener.of(TurnEnded)]


def measure(point: Point, seed: int, turns: int) -> Found:
    """Return what ``turns`` questions of one call came to."""
    rng = random.Random(seed)
    scene = Scene(point, seed, [rng.choice(QUESTIONS) for _ in range(turns)])

    async def talk(scene: Scene) -> None:
        for count, question in enumerate(scene.questions, start=1):
            await scene.ask(question)
            await scene.until(lambda count=count: len(scene.turns()) >= count)

    scene.play(talk)
    found = Found([_answered(scene, turn) for turn in scene.turns()])
    if len(found.turns) != turns or any(each.interrupted for each in scene.turns()):
        raise RuntimeError(f"{point}: {len(found.turns)} whole answers to {turns} questions")
    if point.way == "injection":
        found.words = _said(scene)
    return found


def _answered(scene: Scene, turn: Any) -> Answered:
    """One turn's figures, and its seam: who is heard at which moment."""
    timings = dict(turn.timings_ms)
    answered = Answered(1000 * scene.point.first_token, timings)
    events = [(at, e.frame) for at, e in scene.listener.events if speech_of(e, turn.index)]
    origin = events[0][0] - timings["first_audio"] / 1000
    if scene.point.way != "handover":
        return answered
    heard, places, until = [], [], 0.0
    for at, frame in events:
        begin = max(at, until)
        until = begin + frame.seconds
        heard.append(np.frombuffer(frame.pcm, "<i2") / 32_768)
        places.append(begin + np.arange(frame.samples) / frame.rate)
    sound, at = np.concatenate(heard), np.concatenate(places)
    first = int(np.argmax(sound < -LOUD))
    opener = np.flatnonzero(sound[:first] > LOUD)
    answered.disorder = int(np.count_nonzero(sound[first:] > LOUD))
    if len(opener):
        silent_from = float(at[opener[-1]]) + 1 / RATE
        ready = origin + timings["tts_first_audio"] / 1000
        gap = 1000 * (float(at[first]) - max(silent_from, ready))
        if ready <= silent_from:
            answered.gap = gap
        else:
            answered.late = gap
    return answered


def speech_of(event: Any, turn: int) -> bool:
    """Whether it is sound of that turn."""
    return isinstance(event, Speech) and event.turn == turn


def _said(scene: Scene) -> list[Said]:
    """The mind's words on their way through Moshi."""
    model, vocabulary = scene.model, scene.model.tokenizer
    sent = _sent(scene.listener)
    found = []
    for at, token in model.written:
        piece = vocabulary.id_to_piece(token)
        head = piece[1:5].lower()
        if piece.startswith("▁") and head in scene.mind.whole and token in model.sounded:
            left = sent.get(head)
            found.append(
                Said(
                    1000 * (at - scene.mind.whole[head]),
                    1000 * (model.sounded[token] - at),
                    None if left is None else 1000 * (left - at),
                )
            )
    return found


def _sent(listener: Listener) -> dict[str, float]:
    """When the frame left that a captioned word begins in, by its first four letters."""
    begins = {
        (each.turn, word.start): word.text[:4].lower()
        for each in listener.of(Caption)
        for word in each.words
    }
    left: dict[str, float] = {}
    for at, event in listener.events:
        if isinstance(event, Speech):
            for (turn, start), head in begins.items():
                if turn == event.turn and event.frame.start <= start < event.frame.end:
                    left.setdefault(head, at)
    return left
