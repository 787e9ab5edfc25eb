"""One batch speaks for many what each answer would sound like alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from voice_alone import spoken_alone

from coda_voice_plugin import EngineError
from coda_voice_plugin.errors import WrongModelError
from coda_voice_plugin.kyutai import voice as room
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import Sampling
from coda_voice_plugin.kyutai.voice import CLICK, TAIL, VoiceBatch, VoiceInput, VoiceOutput
from coda_voice_plugin.kyutai.voice_speakers import Speaker
from coda_voice_plugin.testing.checkpoints import tiny_stt, tiny_tts, tiny_voice

GREEDY = Sampling(temperature=0.0, text_temperature=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_tts(tmp_path_factory.mktemp("tts"))
    for seed, name in enumerate(("one.wav", "two.wav")):
        tiny_voice(folder, name, seed=seed)
    return folder


def file_of(folder: Path, voice: str) -> Path:
    return folder / f"{voice}.wav.tiny@0.safetensors"


@pytest.fixture
def batch(folder: Path) -> Iterator[VoiceBatch]:
    batch = VoiceBatch(load_folder(folder), 3, file_of(folder, "one"), GREEDY)
    batch.open()
    yield batch
    batch.close()


class Writer:
    """An answer that becomes known at ``rate`` words a step, in the voice ``voice``."""

    def __init__(self, text: str, voice: str, rate: float = 1e9, first_step: int = 0) -> None:
        self.text, self.voice, self.rate, self.first_step = text, voice, rate, first_step
        self.words = text.split()
        self.given = 0
        self.sounds: list[np.ndarray] = []
        self.begins: list[tuple[str, int]] = []
        self.end: int | None = None
        self.finished = False

    def next(self, step: int, speaker: Speaker) -> VoiceInput:
        known = round(min(len(self.words), (step - self.first_step + 1) * self.rate))
        new = tuple(self.words[self.given : known])
        begin = speaker if step == self.first_step else None
        self.given = known
        return VoiceInput(new, known == len(self.words), begin)

    def take(self, out: VoiceOutput) -> None:
        self.sounds += out.sounds
        self.begins += out.begun
        self.end, self.finished = out.end, out.finished


def run(batch: VoiceBatch, folder: Path, writers: Mapping[int, list[Writer]]) -> int:
    """Speak the answers of each slot one after the other; return the number of steps."""
    voices = {name: batch.speaker(file_of(folder, name)) for name in ("one", "two")}
    waiting = {slot: list(each) for slot, each in writers.items()}
    step = 0
    while any(waiting.values()):
        now = {slot: each[0] for slot, each in waiting.items() if each}
        now = {slot: each for slot, each in now.items() if each.first_step <= step}
        work = {slot: each.next(step, voices[each.voice]) for slot, each in now.items()}
        for slot, out in batch.step(work).items():
            now[slot].take(out)
            if out.finished:
                waiting[slot].pop(0)
                for follower in waiting[slot][:1]:
                    follower.first_step = max(follower.first_step, step + 1)
        step += 1
        assert step < 1_000
    return step


def as_alone(folder: Path, writer: Writer) -> bool:
    alone = spoken_alone(folder, writer.text, file_of(folder, writer.voice))
    sounds = writer.sounds[: len(alone.frames)]
    return (
        len(writer.sounds) == alone.end + TAIL == len(alone.frames) + TAIL
        and writer.end == alone.end
        and writer.begins == [(word, max(0, at - CLICK)) for word, at in alone.begins]
        and all(np.allclose(a, b, atol=1e-5) for a, b in zip(sounds, alone.frames, strict=True))
    )


def busy() -> dict[int, list[Writer]]:
    """Three answers in two slots of three, written at different speeds, in two voices."""
    return {
        0: [Writer("hello how are you", "one", 0.2)],
        2: [Writer("yes of course", "two", 1.0, 9), Writer("see you later", "one", 0.5)],
    }


def test_each_answer_sounds_as_if_it_were_alone_and_known_as_a_whole(
    batch: VoiceBatch, folder: Path
) -> None:
    writers = busy()
    run(batch, folder, writers)
    for each in (writer for slot in writers.values() for writer in slot):
        assert as_alone(folder, each), each.text
        assert np.abs(each.sounds).max() > 0.05
    voices = [spoken_alone(folder, "yes of course", file_of(folder, v)) for v in ("one", "two")]
    assert not np.allclose(voices[0].frames[-1], voices[1].frames[-1], atol=1e-2)


@pytest.mark.parametrize("fault", ["one mask", "no reset", "one voice", "no delay"])
def test_without_what_keeps_the_slots_apart_it_would_not(
    fault: str, batch: VoiceBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match fault:
        case "one mask":
            every = batch._streams.mask(range(3))
            mimi = batch._streams.loaded.mimi
            whole = mimi.set_exec_mask
            monkeypatch.setattr(mimi, "set_exec_mask", lambda mask: whole(every))
        case "no reset":
            monkeypatch.setattr(batch._streams, "begin", lambda begins: None)
        case "one voice":
            monkeypatch.setattr(batch.speakers, "seat", lambda *_: None)
        case "no delay":
            batch._late.zero_()
    writers = busy()
    run(batch, folder, writers)
    assert not all(as_alone(folder, each) for slot in writers.values() for each in slot)


def test_an_answer_that_begins_late_hastens_and_sounds_the_same(
    batch: VoiceBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    for haste in (room.HASTE, 0):
        monkeypatch.setattr(room, "HASTE", haste)
        long = Writer("hello how are you today", "one")
        late = Writer("yes of course", "two", first_step=17)
        voices = {slot: batch.speaker(file_of(folder, each.voice)) for slot, each in
                  ((0, long), (1, late))}  # fmt: skip
        for step in range(17):
            long.take(batch.step({0: long.next(step, voices[0])})[0])
        steps = 0
        while not late.finished:
            work = {1: late.next(17 + steps, voices[1])}
            if not long.finished:
                work[0] = VoiceInput()
            results = batch.step(work)
            late.take(results[1])
            if 0 in results:
                long.take(results[0])
            steps += 1
            if len(late.sounds) == 1:
                waited.append(steps)
        assert as_alone(folder, late)
    # a delay of 16, two more for the codebooks, two for the click, and the frame itself: the
    # first 17 in six steps where it hastens
    assert waited == [6 + 4, 21]


def test_without_enough_words_a_slot_stands_still(batch: VoiceBatch, folder: Path) -> None:
    speaker = batch.speakers.default
    out = batch.step({0: VoiceInput(("hello", "how"), begin=speaker)})[0]
    for _ in range(10):
        out = batch.step({0: VoiceInput()})[0]
        assert (out.sounds, out.begun, out.ahead, out.finished) == ((), (), 2, False)
    writer = Writer("hello how are", "one")
    writer.given, writer.first_step = 2, -1
    while not writer.finished:
        writer.take(batch.step({0: writer.next(0, speaker)})[0])
    assert as_alone(folder, writer)


def test_a_voice_that_does_not_read_ahead_works_alike(tmp_path: Path) -> None:
    folder = tiny_tts(tmp_path, lookahead=0, delay_s=0.32)
    tiny_voice(folder, "one.wav")
    tiny_voice(folder, "two.wav", seed=1)
    batch = VoiceBatch(load_folder(folder), 2, file_of(folder, "one"), GREEDY)
    batch.open()
    writers = {0: [Writer("hello how are you", "two", 0.1)], 1: [Writer("yes", "one", 1.0, 5)]}
    run(batch, folder, writers)
    batch.close()
    assert all(as_alone(folder, each) for slot in writers.values() for each in slot)


@pytest.mark.parametrize("stage", ["main", "depth", "decode", "machine"])
def test_after_a_failure_in_any_stage_the_batch_can_begin_anew(
    stage: str, batch: VoiceBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError(f"{stage} failed")

    streams = batch._streams
    owner, name = {
        "main": (streams.gen._streaming_state, "graphed_main"),
        "depth": (streams.gen._streaming_state, "graphed_depth"),
        "decode": (streams.loaded.mimi, "decode"),
        "machine": (batch._machine, "process"),
    }[stage]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        broken = Writer("yes of course", "two")
        with pytest.raises(RuntimeError, match=stage):
            run(batch, folder, {1: [broken]})
    batch.restart()
    after = Writer("yes of course", "two")
    run(batch, folder, {1: [after]})
    assert as_alone(folder, after)


def test_a_word_with_signs_that_the_model_does_not_read_keeps_its_place(
    batch: VoiceBatch, folder: Path
) -> None:
    writer = Writer("at 12:30 (sharp)", "one")
    run(batch, folder, {0: [writer]})
    assert [word for word, _ in writer.begins] == ["at", "12:30", "(sharp)"]
    places = [at for _, at in writer.begins]
    assert places == sorted(set(places))


def test_a_file_that_is_no_voice_of_the_model_is_refused(batch: VoiceBatch, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not a voice")
    longer, other = tmp_path / "longer.safetensors", tmp_path / "other.safetensors"
    save_file({"speaker_wavs": torch.zeros(1, 16, 7)}, longer)
    save_file({"weights": torch.zeros(3)}, other)
    for path in (damaged, longer, other, tmp_path / "one.wav", tmp_path / "none.safetensors"):
        with pytest.raises(EngineError, match="is no voice of this model") as error:
            batch.speaker(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)


def test_other_models_are_refused_with_the_setting(tiny: Path, tmp_path: Path) -> None:
    prefixed = tiny_tts(tmp_path / "prefixed", conditioners={}, fuser=None, cross_attention=False)
    for folder in (tiny, tiny_stt(tmp_path / "stt"), prefixed):
        with pytest.raises(WrongModelError, match=r"kyutai\.tts_model"):
            VoiceBatch(load_folder(folder), 1, tmp_path / "none")
