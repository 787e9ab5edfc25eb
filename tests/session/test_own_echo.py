"""What a strategy that listens all the time hears of itself: a loudspeaker in a room.

The far end and the user are recordings of people; session, front end and canceller are
the real ones, the clock is virtual.
"""

from __future__ import annotations

import asyncio
from functools import cache
from math import log10

import numpy as np
import pytest
from human_speech import FOLDER, NEEDED, clips
from virtual import run_virtual
from world import World, config

from coda_voice_plugin import AudioFrame, Call, Session, Strategy
from coda_voice_plugin.audio import Floats, Resampler, to_floats, to_pcm
from coda_voice_plugin.events import Hello, ServerEvent, Speech

pytest.importorskip("pywebrtc_audio")
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED)

RATE = 24_000
FRAME = RATE // 50
STEP = 1_920
DELAY_MS = 60
ECHO_DB = -20
SPOKEN = slice(5 * RATE, 11 * RATE)
"""When the user speaks, if at all."""


class Room:
    """A client: plays what it is sent, and its microphone hears that and the user.

    The loudspeaker comes back 60 ms later and 20 dB weaker, with a tail that wanders
    from one room to another and back every four seconds.
    """

    def __init__(self, user: Floats) -> None:
        self.user = user
        self.session: Session | None = None
        self.played = np.zeros(len(user) + RATE, np.float32)
        self.echo = np.zeros(len(user), np.float32)
        self._until = 0
        self._now = 0
        rng = np.random.default_rng(1)
        decay = np.exp(-6.9 * np.arange(RATE // 10) / (RATE / 10))
        self._rooms = [self._room(rng, decay) for _ in range(2)]

    def _room(self, rng: np.random.Generator, decay: Floats) -> Floats:
        tail = 0.12 * rng.standard_normal(len(decay)) * decay
        tail[0] = 1.0
        tail *= 10 ** (ECHO_DB / 20) / np.sqrt(np.sum(tail**2))
        return np.concatenate((np.zeros(DELAY_MS * RATE // 1_000), tail)).astype(np.float32)

    async def send(self, event: ServerEvent) -> None:
        if isinstance(event, Speech):
            sound = to_floats(event.frame.pcm)
            begin = max(self._until, self._now)
            self._until = begin + len(sound)
            self.played[begin : self._until] = sound

    async def listen(self) -> None:
        """Send the microphone in 20 ms frames, in real time."""
        assert self.session is not None
        for at in range(0, len(self.user) - FRAME + 1, FRAME):
            self._now = at
            await asyncio.sleep(0.02)
            there = at % (4 * RATE) / (2 * RATE)
            there = min(there, 2 - there)
            room = (1 - there) * self._rooms[0] + there * self._rooms[1]
            first = at - len(room) + 1
            heard = self.played[max(0, first) : at + FRAME]
            heard = np.concatenate((np.zeros(max(0, -first), np.float32), heard))
            self.echo[at : at + FRAME] = np.convolve(heard, room, "valid")
            mic = self.user[at : at + FRAME] + self.echo[at : at + FRAME]
            self.session.receive(AudioFrame(to_pcm(mic)))


class Duplex(Strategy):
    """Plays ``sound`` in steps of 80 ms, and keeps what it hears meanwhile."""

    name = "duplex"
    mic_rate = RATE

    def __init__(self, sound: Floats) -> None:
        self.sound = sound
        self.heard: list[AudioFrame] = []

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(call))
            async for frame in call.mic:
                self.heard.append(frame)

    async def _speak(self, call: Call) -> None:
        async with call.reply() as reply:
            for at in range(0, len(self.sound), STEP):
                await reply.play(to_pcm(self.sound[at : at + STEP]))
                await asyncio.sleep(STEP / RATE)


@cache
def people(first: int, count: int) -> Floats:
    """Recordings at 24 kHz, one after the other."""
    sound = np.concatenate([sound for _, sound in clips()[first : first + count]])
    resampler = Resampler(16_000, RATE)
    return np.concatenate((resampler.push(sound), resampler.finish()))


@cache
def call(*, cancels: bool, speaks: bool, user: bool) -> tuple[Floats, Floats, Floats]:
    """Hold one; return what the strategy heard, the echo at the microphone, and the user."""
    far = people(0, 3)[: 12 * RATE] if speaks else np.zeros(0, np.float32)
    near = np.zeros(12 * RATE, np.float32)
    if user:
        voice = people(3, 2)[: 6 * RATE]
        near[5 * RATE : 5 * RATE + len(voice)] = voice
    settings = config(audio={"sample_rate": RATE, "chunk_size": 960, "echo_cancellation": cancels})
    strategy = Duplex(far)
    world = World(strategy, settings)
    room = Room(near)

    async def run() -> None:
        room.session = Session(world.host, room.send, Hello(rate=RATE))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(room.session.run())
            await room.listen()
            room.session.close()

    run_virtual(run())
    assert {frame.rate for frame in strategy.heard} == {RATE}
    heard = to_floats(b"".join(frame.pcm for frame in strategy.heard))
    return heard, room.echo, near


def power_db(sound: Floats) -> float:
    return 10 * log10(float(np.mean(sound**2)) + 1e-12)


def likeness(heard: Floats, voice: Floats) -> float:
    """Coherence of two sounds, weighted by the voice's spectrum: 1.0 is a filtered copy."""
    size = 1_024
    window = np.hanning(size).astype(np.float32)

    def spectra(sound: Floats) -> np.ndarray:
        count = (len(sound) - size) // (size // 2) + 1
        places = np.arange(size) + (size // 2) * np.arange(count)[:, None]
        return np.fft.rfft(sound[places] * window)

    length = min(len(heard), len(voice))
    a, b = spectra(heard[:length]), spectra(voice[:length])
    band = slice(4, 7_000 * size // RATE)
    cross = np.abs((a * b.conj()).sum(0)[band]) ** 2
    own, other = (np.abs(a) ** 2).sum(0)[band], (np.abs(b) ** 2).sum(0)[band]
    return float((cross / own).sum() / other.sum())


def loss_db(*, cancels: bool, begin: int, end: int) -> float:
    """Echo return loss enhancement: by how much less of the echo is heard than came in."""
    heard, echo, _ = call(cancels=cancels, speaks=True, user=False)
    return power_db(echo[begin * RATE : end * RATE]) - power_db(heard[begin * RATE : end * RATE])


@pytest.mark.parametrize(("begin", "end", "least"), [(0, 1, 15), (1, 3, 25), (3, 12, 25)])
def test_what_is_played_is_not_heard_again(begin: int, end: int, least: int) -> None:
    assert loss_db(cancels=True, begin=begin, end=end) > least


def test_without_cancellation_all_of_it_is_heard() -> None:
    assert loss_db(cancels=False, begin=0, end=12) == pytest.approx(0, abs=0.1)


def test_the_user_is_heard_in_both_cases_while_the_loudspeaker_is_silent() -> None:
    for cancels in (False, True):
        heard, _, user = call(cancels=cancels, speaks=False, user=True)
        assert power_db(heard[SPOKEN]) == pytest.approx(power_db(user[SPOKEN]), abs=1.5)
        assert likeness(heard[SPOKEN], user[SPOKEN]) > 0.95


def test_the_user_is_heard_through_what_is_played() -> None:
    heard, echo, user = call(cancels=True, speaks=True, user=True)
    assert power_db(heard[SPOKEN]) == pytest.approx(power_db(user[SPOKEN]), abs=2)
    assert likeness(heard[SPOKEN], user[SPOKEN]) > 0.9
    assert likeness(heard[SPOKEN], echo[SPOKEN]) < 0.1  # that measure tells voices apart
