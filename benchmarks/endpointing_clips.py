"""The clips of ``endpointing.py``: finished sentences, and sentences with a pause inside."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

RATE = 16_000
PAUSES_MS = (300, 500, 800)
"""How long the speaker thinks; the gap between the words comes on top."""
LEAD, TAIL = RATE // 2, 5 * RATE // 2
STEP = 160

FINISHED = """\
What time is it?
Turn on the lights in the kitchen.
What is the weather like today?
I would like a cup of coffee.
Tell me a joke.
How far is the moon from the earth?
Thank you very much.
Play some jazz in the living room.
Set a timer for ten minutes.
My name is Anna.
Can you help me with this?
Where are you from?
What are you looking for?
Remind me to call my mother tomorrow.
I think that is a good idea.
How do you spell necessary?
Who wrote the first book about computers?
The train to London leaves at nine.
Please open the window.
I have never been to Japan.
Could you read my messages?
Add milk and eggs to the shopping list.
Why is the sky blue?
What is seven plus five?
We are going to the park this afternoon.
Do you speak German?
It was raining all day yesterday.
Send a message to my brother.
What should I cook for dinner tonight?
Stop the music.
Is there a pharmacy near here?
I don't know what that means.
How many people live in France?
She bought a new bicycle last week.
Good morning, how are you?
Tell me more about that.
When does the shop close?
I'm looking for a cheap hotel.
That's all for today.
Explain how a battery works.
"""
SPLIT = """\
1155 I would like to know / what the weather is.
945 Could you tell me / how far it is to the station?
1215 Turn on the lights and / close the door.
1185 What is the weather in / London tomorrow?
1765 I want to go home because I am / tired.
905 Remind me to / call my mother at six.
1185 My phone number is / five five two three.
1085 Set a timer for / ten minutes.
1505 I was thinking that maybe / we could go to the park.
1385 Can you send a message / to my brother in Paris?
1325 If it rains tomorrow / we will stay at home.
1255 I'm looking for a cheap / hotel near the beach.
1565 How do I get from London to / Edinburgh by train?
1075 Tell me about the / history of the bicycle.
1125 I need a table / for four people at eight.
975 Please play the / second movement again.
985 Do you know whether / the museum is open today?
1675 I would like a large pizza with / mushrooms and cheese.
1125 The reason is that / I forgot my keys.
625 When I was / a child we lived in Spain.
1115 What do you think about / the new teacher?
935 I have to buy / milk, eggs and some bread.
975 Who was the first / person on the moon?
945 He told me that / the train was late.
1045 Let me think, / I would take the red one.
"""
"""Milliseconds into the spoken sentence at which the speaker stops to think, where the
slash is: dips of the level, checked by transcription. Some parts sound complete."""
LIBRIVOX = "librivox/sense_and_sensibility_01_austen_64kb-"
HUMAN_GAPS_MS = {
    f"{LIBRIVOX}0870.wav": (2_230, 2_745, 2_935, 3_970, 4_345, 4_780, 4_970, 6_410),
    f"{LIBRIVOX}0880.wav": (1_055,),
    f"{LIBRIVOX}0890.wav": (610, 1_310, 3_885),
    f"{LIBRIVOX}0920.wav": (3_850, 4_510),
    f"{LIBRIVOX}0930.wav": (1_100,),
    "cards/005.wav": (1_170, 2_190),
    "goforward.raw": (1_195,),
}
"""Dips between two words in human speech, found by level and checked by transcription."""
HUMAN_ENDS_MS = {
    f"{LIBRIVOX}0870.wav": 6_760,
    f"{LIBRIVOX}0880.wav": 2_790,
    f"{LIBRIVOX}0890.wav": 5_040,
    f"{LIBRIVOX}0920.wav": 5_780,
    f"{LIBRIVOX}0930.wav": 2_960,
    "cards/001.wav": 950,
    "cards/002.wav": 1_720,
    "cards/003.wav": 1_330,
    "cards/005.wav": 3_290,
    "goforward.raw": 2_240,
    "something.raw": 2_150,
    "numbers.raw": 3_270,
}
"""End of the last word, read from the level: after some of them the speaker breathes."""


@dataclass(frozen=True)
class Clip:
    """Sound of one turn with silence before and after. Positions are samples at 16 kHz."""

    name: str
    kind: str
    """"paused" or "finished"."""
    voice: str
    """"hibari" or "human"."""
    samples: Any
    ends_at: int
    """Just after the last speech sample."""
    resumes_at: int = 0
    """Where the speech goes on after the pause; ending before it is a cut."""
    pause_ms: int = 0


def synthetic_clips() -> list[Clip]:
    """Speak the sentences with hibari; the same samples each time."""
    from hibari import Hibari

    voice = Hibari(threads=1)

    def speak(text: str) -> Any:
        return soxr.resample(np.asarray(voice(text, seed=0), np.float32), 24_000, RATE)

    clips = [finished(text, "hibari", speak(text)) for text in FINISHED.splitlines()]
    for line in SPLIT.splitlines():
        at, _, text = line.partition(" ")
        sound = speak(text.replace(" / ", " "))
        clips += [paused(text, "hibari", sound, int(at) * RATE // 1_000, ms) for ms in PAUSES_MS]
    return clips


def human_clips(folder: Path) -> list[Clip]:
    """Read the human speech; ``folder`` is pocketsphinx's test data."""
    clips = [
        finished(name, "human", read(folder / name), end * RATE // 1_000)
        for name, end in HUMAN_ENDS_MS.items()
    ]
    for name, gaps in HUMAN_GAPS_MS.items():
        sound, end = read(folder / name), HUMAN_ENDS_MS[name] * RATE // 1_000
        for at in gaps:
            title = f"{name.removeprefix(LIBRIVOX)} at {at} ms"
            clips += [
                paused(title, "human", sound, at * RATE // 1_000, ms, end) for ms in PAUSES_MS
            ]
    return clips


def finished(name: str, voice: str, sound: Any, end: int | None = None) -> Clip:
    """Return the clip of a whole sentence."""
    end = loud_span(sound)[1] if end is None else end
    # What follows the last word in a recording is its own noise, repeated as random noise.
    samples = np.concatenate([_noise(sound, LEAD), sound, _noise(sound, TAIL)])
    return Clip(name, "finished", voice, samples, LEAD + end, resumes_at=LEAD + end)


def paused(
    name: str, voice: str, sound: Any, at: int, pause_ms: int, end: int | None = None
) -> Clip:
    """Return the clip of a sentence with ``pause_ms`` of silence inserted at ``at``."""
    pause = pause_ms * RATE // 1_000
    fade = np.linspace(1.0, 0.0, STEP, dtype=np.float32)
    head, rest = sound[:at].copy(), sound[at:].copy()
    head[-STEP:] *= fade
    rest[:STEP] *= fade[::-1]
    parts = [_noise(sound, LEAD), head, _noise(sound, pause), rest, _noise(sound, TAIL)]
    last = loud_span(sound)[1] if end is None else end
    return Clip(
        f"{name} ({pause_ms} ms)",
        "paused",
        voice,
        np.concatenate(parts).astype(np.float32),
        LEAD + pause + last,
        resumes_at=LEAD + at + pause,
        pause_ms=pause_ms,
    )


def levels(sound: Any) -> Any:
    """Return the root mean square of each 10 ms."""
    steps = len(sound) // STEP
    return np.sqrt((sound[: steps * STEP].reshape(steps, STEP) ** 2).mean(1))


def loud_span(sound: Any) -> tuple[int, int]:
    """Return where speech begins and ends: within 30 dB of the loud parts, above the noise."""
    level = levels(sound)
    least = max(0.03 * np.percentile(level, 95), 2 * np.percentile(level, 10))
    loud = np.flatnonzero(level > least)
    return int(loud[0]) * STEP, (int(loud[-1]) + 1) * STEP


def read(path: Path) -> Any:
    """Return the samples of a 16 kHz recording."""
    if path.suffix == ".raw":
        pcm = path.read_bytes()
    else:
        with wave.open(str(path)) as file:
            pcm = file.readframes(file.getnframes())
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768


def _noise(sound: Any, samples: int) -> Any:
    level = max(float(np.percentile(levels(sound), 5)), 3e-4)
    random = np.random.default_rng(0)
    return random.normal(0.0, level, samples).astype(np.float32)
