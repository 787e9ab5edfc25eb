"""A persona is lived through once; every call with it begins where that ended."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from solo import speech

from coda_voice_plugin import BusyError, EngineError, VoiceConfig
from coda_voice_plugin.errors import WrongModelError
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import Fresh, MoshiInput, Sampling, Snapshot
from coda_voice_plugin.kyutai.moshi import MoshiEngine
from coda_voice_plugin.kyutai.persona import (
    KEPT,
    SILENCE,
    STILL,
    TONE,
    VOICE_LEVEL,
    Persona,
    SnapshotCache,
    check,
    level,
    prompt,
    tagged,
)
from coda_voice_plugin.kyutai.script import PAD
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.testing.checkpoints import tiny_moshi

GREEDY = Sampling(temperature=0.0, text_temperature=0.0)
ROLE = "you are a tiny test model"


@pytest.fixture(scope="session")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that say they were trained on prompts, with a codec of the real size of codes."""
    folder = tiny_moshi(tmp_path_factory.mktemp("personaplex"), card=2_048)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "personaplex"}))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "voice.wav"
    sound = np.concatenate(speech(9, 10))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


def settings(folder: Path, **moshi: object) -> VoiceConfig:
    chosen = {"optimization": "fp32", "temperature": 0.0, "text_temperature": 0.0, "slots": 2}
    return VoiceConfig(moshi=chosen | {"model_path": str(folder)} | moshi)


async def heard(line: MoshiSlot, seed: int, frames: int = 8) -> list[np.ndarray]:
    """What the line says while it hears so many frames."""
    found = []
    for frame in speech(seed, 3):
        line.push(frame)
    more = iter(speech(seed, frames + 3)[3:])
    async with aclosing(line.spoken()) as spoken:
        async for piece in spoken:
            found.append(piece.sound)
            if len(found) == frames:
                break
            line.push(next(more))
    return found


def test_a_role_is_put_between_the_marks_of_the_training() -> None:
    assert tagged("  You are\n Jane. ") == "<system> You are Jane. <system>"
    assert tagged("<system> You are Jane. <system>") == "<system> You are Jane. <system>"


def test_a_voice_is_brought_to_the_loudness_of_the_training() -> None:
    quiet = 0.001 * np.concatenate(speech(1, 5))
    found = level(quiet.astype(np.float32))
    assert np.sqrt(np.mean(found**2)) == pytest.approx(VOICE_LEVEL, rel=0.01)
    with pytest.raises(EngineError, match="silent"):
        level(np.zeros(48_000, np.float32))


def test_the_prompt_is_lived_in_the_order_of_the_training(prompted: Path) -> None:
    loaded = load_folder(prompted)
    voice = [tuple(range(10 * frame, 10 * frame + 8)) for frame in range(4)]
    steps = prompt(Persona(ROLE, "voice.wav"), loaded, voice)
    role = loaded.tokenizer.encode(tagged(ROLE))
    # the first position of a stream is always initial: no step writes it
    text = ([PAD] * (4 + STILL) + role + [PAD] * STILL)[1:]
    assert [step.text.on_pad for step in steps] == text
    assert [step.text.on_word for step in steps] == text
    assert {step.codes for step in steps} == {TONE}
    own = [*voice, *[SILENCE] * (STILL + len(role) + STILL)]
    for position, step in enumerate(steps, 1):
        assert step.audio is not None
        assert step.audio[0] == own[position][0]  # the first codebook is on time,
        assert step.audio[1:] == own[position - 1][1:]  # the others are a step late


def test_the_model_lives_exactly_the_prompt(prompted: Path) -> None:
    loaded = load_folder(prompted)
    batch = MoshiBatch(loaded, 2, GREEDY)
    batch.open()
    steps = prompt(Persona(ROLE), loaded, [])
    written = []
    for index, step in enumerate(steps):
        begin = Fresh() if index == 0 else None
        given = MoshiInput(codes=step.codes, text=step.text, audio=step.audio, begin=begin)
        written.append(batch.step({1: given})[1].token)
    assert written == [step.text.on_pad for step in steps]
    cache = batch._streams.gen._streaming_state.cache[1]
    assert set(SILENCE) <= set(cache[1:9].flatten().tolist())
    assert set(TONE) <= set(cache[9:].flatten().tolist())
    batch.close()


async def test_a_call_that_begins_with_the_copy_goes_on_as_if_it_had_lived_the_prompt(
    prompted: Path,
) -> None:
    loaded = load_folder(prompted)
    batch = MoshiBatch(loaded, 1, GREEDY)
    batch.open()
    for index, step in enumerate(prompt(Persona(ROLE), loaded, [])):
        begin = Fresh() if index == 0 else None
        batch.step({0: MoshiInput(codes=step.codes, text=step.text, audio=step.audio, begin=begin)})
    lived = [batch.step({0: MoshiInput(frame)})[0].sound for frame in speech(4, 8)]
    batch.close()

    config = settings(prompted, role_prompt=ROLE)
    async with MoshiEngine(config).open() as engine, engine.line(config.moshi) as line:
        for found, expected in zip(await heard(line, 4), lived, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)


async def test_a_known_persona_takes_no_further_step(prompted: Path) -> None:
    config = settings(prompted, role_prompt=ROLE)
    async with MoshiEngine(config).open() as engine:
        told = engine.wheel.ticks.count
        assert told == len(prompt(Persona(ROLE), engine.loaded, []))
        async with engine.line(config.moshi), engine.line(config.moshi):
            assert engine.wheel.ticks.count == told


async def test_another_persona_is_told_when_it_is_first_asked_for(prompted: Path) -> None:
    config = settings(prompted)
    other = config.moshi.model_copy(update={"role_prompt": ROLE})
    async with MoshiEngine(config).open() as engine:
        assert engine.wheel.ticks.count == 0
        async with engine.line(other) as line:
            as_jane = await heard(line, 5)
            assert engine.wheel.taken == 1  # the slot it was told in is free again
        async with engine.line(config.moshi) as line:
            as_itself = await heard(line, 5)
    assert not np.allclose(as_jane, as_itself, atol=1e-3)


async def test_a_new_persona_needs_a_free_slot_and_says_so(prompted: Path) -> None:
    config = settings(prompted, slots=1)
    other = config.moshi.model_copy(update={"role_prompt": ROLE})
    async with MoshiEngine(config).open() as engine, engine.line(config.moshi):
        with pytest.raises(BusyError, match="prepare this persona"):
            async with engine.line(other):
                pass


async def test_a_voice_is_part_of_the_persona(prompted: Path, recording: Path) -> None:
    config = settings(prompted)
    spoken = config.moshi.model_copy(update={"voice_prompt": str(recording)})
    async with MoshiEngine(config).open() as engine:
        async with engine.line(spoken) as line:
            with_voice = await heard(line, 5)
        async with engine.line(config.moshi) as line:
            without = await heard(line, 5)
    assert not np.allclose(with_voice, without, atol=1e-3)


@pytest.fixture
async def engine(prompted: Path) -> AsyncIterator[MoshiEngine]:
    async with MoshiEngine(settings(prompted)).open() as opened:
        yield opened


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"voice_prompt": "/nowhere/voice.wav"}, "moshi.voice_prompt: .*no such file"),
        ({"voice_prompt": "/nowhere/NATF0.pt"}, "give a recording of the voice"),
        ({"role_prompt": "word " * 2_000}, "tokens; at most 500"),
    ],
)
async def test_a_persona_that_cannot_be_told_is_explained(
    engine: MoshiEngine, changes: dict[str, str], why: str
) -> None:
    config = engine._config.moshi.model_copy(update=changes)
    with pytest.raises(EngineError, match=why):
        async with engine.line(config):
            pass
    assert engine.wheel.taken == 0


async def test_weights_that_were_not_trained_on_prompts_refuse_one_before_any_call(
    tiny: Path,
) -> None:
    with pytest.raises(WrongModelError, match=r"was not trained on prompts.*personaplex"):
        async with MoshiEngine(settings(tiny, role_prompt=ROLE)).open():
            pass


def test_another_codec_has_no_such_codes(tiny: Path, tmp_path: Path) -> None:
    small = shutil.copytree(tiny, tmp_path / "personaplex")
    with pytest.raises(WrongModelError, match="codec"):
        check(Persona(ROLE), load_folder(small))


def test_the_persona_that_was_used_longest_ago_is_forgotten() -> None:
    cache = SnapshotCache()
    kept = [Persona(str(number)) for number in range(KEPT + 1)]
    for persona in kept[:KEPT]:
        cache.put(persona, Snapshot({}, "model", 1))
    assert cache.get(kept[0]) is not None
    cache.put(kept[KEPT], Snapshot({}, "model", 1))
    assert cache.get(kept[1]) is None
    assert cache.get(kept[0]) is not None
