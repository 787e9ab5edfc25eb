"""One batch writes down for many what each utterance would get alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ear_alone import SILENCE, Written, same, written_alone
from solo import speech

from coda_voice_plugin import MIC_RATE, EngineError
from coda_voice_plugin.errors import WrongModelError
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.ear import EarBatch, EarInput, EarOutput
from coda_voice_plugin.kyutai.ear_slot import LONGEST_WORD, EarSlot
from coda_voice_plugin.kyutai.ear_sound import Sound
from coda_voice_plugin.kyutai.frames import Fresh
from coda_voice_plugin.kyutai.wheel import Wheel
from coda_voice_plugin.testing.checkpoints import tiny_stt


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser that remembers 8 steps, so that its ring wraps soon."""
    return tiny_stt(tmp_path_factory.mktemp("stt"), context=8)


@pytest.fixture
def batch(folder: Path) -> Iterator[EarBatch]:
    batch = EarBatch(load_folder(folder), 3)
    batch.open()
    yield batch
    batch.close()


class Speaker:
    """Somebody who says something, and what was written of it."""

    def __init__(self, seed: int, frames: int) -> None:
        self.frames = speech(seed, frames)
        self.said = 0
        self.written: Written = []

    def next(self, **options: Any) -> EarInput:
        if self.said == 0:
            options.setdefault("begin", Fresh())
        self.said += 1
        return EarInput(self.frames[self.said - 1], **options)

    def take(self, out: EarOutput) -> None:
        self.written.append((out.token, out.pauses))


def run(batch: EarBatch, plan: list[dict[int, Speaker]]) -> None:
    """Step through ``plan``: who has which slot in each step."""
    for step in plan:
        results = batch.step({slot: speaker.next() for slot, speaker in step.items()})
        assert results.keys() == step.keys()
        for slot, speaker in step.items():
            speaker.take(results[slot])


def whole_day(rng: random.Random) -> tuple[list[Speaker], list[dict[int, Speaker]]]:
    """Four utterances in three slots: late ones, pauses, and a slot that is used again."""
    everybody = [Speaker(seed, 15) for seed in (1, 2, 3, 4)]
    left = dict.fromkeys(everybody, 15)
    first, second, third, fourth = everybody
    plan: list[dict[int, Speaker]] = []
    while any(left.values()):
        there = {0: first, 1: second if left[second] else fourth, 2: third}
        step = {}
        for slot, each in there.items():
            if left[each] and rng.random() < 0.8 and (slot < 2 or len(plan) > 6):
                step[slot] = each
                left[each] -= 1
        plan.append(step)
    return everybody, [step for step in plan if step]


def test_each_utterance_is_written_as_if_it_were_alone(batch: EarBatch, folder: Path) -> None:
    everybody, plan = whole_day(random.Random(1))
    run(batch, plan)
    for each in everybody:
        assert same(each.written, written_alone(folder, each.frames))
    texts = {tuple(token for token, _ in each.written) for each in everybody}
    assert len(texts) == 4, "they said different things"


@pytest.mark.parametrize("fault", ["no masks", "no reset"])
def test_without_masks_or_resets_it_would_not_be(
    fault: str, batch: EarBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "no masks":
        every = batch._streams.mask(range(3))
        monkeypatch.setattr(batch._streams, "mask", lambda slots: every)
    else:
        monkeypatch.setattr(batch._streams, "begin", lambda begins: None)
    everybody, plan = whole_day(random.Random(1))
    run(batch, plan)
    assert not all(same(each.written, written_alone(folder, each.frames)) for each in everybody)


def test_an_utterance_begins_behind_the_silence_that_its_model_was_trained_with(
    tmp_path: Path,
) -> None:
    folder = tiny_stt(tmp_path, delay_s=2.5, prefix_s=1.0, heads=0)
    batch = EarBatch(load_folder(folder), 1)
    batch.open()
    speaker = Speaker(1, 10)
    run(batch, [{0: speaker}] * 10)
    batch.close()
    assert same(speaker.written, written_alone(folder, speaker.frames, lead=14))
    assert not same(speaker.written, written_alone(folder, speaker.frames, lead=1))
    assert batch.flush == 32 + 2
    assert speaker.written[0][1] == (), "no heads, no judgement"


def test_a_kept_state_goes_on_as_if_nothing_had_come_between(batch: EarBatch, folder: Path) -> None:
    speaker, other = Speaker(1, 30), Speaker(2, 30)
    run(batch, [{0: speaker, 1: other}] * 12)
    kept = batch.step({0: EarInput(SILENCE, keep=True)})[0].kept
    assert kept is not None
    for _ in range(8):
        batch.step({0: EarInput(SILENCE)})
    speaker.take(batch.step({0: speaker.next(begin=kept)})[0])
    run(batch, [{0: speaker, 1: other}] * 17)
    assert same(speaker.written, written_alone(folder, speaker.frames))
    assert same(other.written, written_alone(folder, other.frames[:29]))


def test_going_on_behind_the_silence_would_write_something_else(
    batch: EarBatch, folder: Path
) -> None:
    speaker = Speaker(1, 30)
    run(batch, [{0: speaker}] * 12)
    for _ in range(9):
        batch.step({0: EarInput(SILENCE)})
    run(batch, [{0: speaker}] * 18)
    assert not same(speaker.written, written_alone(folder, speaker.frames))


async def test_the_added_silence_brings_the_words_that_real_silence_would(
    batch: EarBatch, folder: Path
) -> None:
    spoken = np.concatenate(speech(5, 10))[: MIC_RATE + 777]
    batch.close()  # the wheel opens it
    async with Wheel("ear", batch, period=None).open() as wheel:
        slot = EarSlot(wheel, batch.words(), batch.delay_s, batch.flush)
        slot.push(spoken)
        await slot.finish()
        slot.close()
    sound = Sound()
    frames = [*sound.push(spoken), *sound.rest()]
    alone = written_alone(folder, frames + [SILENCE] * (batch.flush + LONGEST_WORD))
    words = batch.words()
    for index, (token, pauses) in enumerate(alone):
        if index == len(frames) - 2:
            judged = pauses[2]
        if index >= len(frames) + batch.flush and not words.spelling:
            break
        words.push(token)
    assert slot.text == words.text != ""
    assert slot.words == words.upto(len(spoken))
    # the last frame is filled up with silence: only those before it are the user's own
    assert slot.probability == pytest.approx(judged, abs=1e-5)
    batch.open()


def test_a_state_of_another_model_is_refused(batch: EarBatch) -> None:
    kept = batch.step({0: EarInput(SILENCE, begin=Fresh(), keep=True)})[0].kept
    assert kept is not None
    with pytest.raises(EngineError, match="does not fit"):
        batch.step({0: EarInput(SILENCE, begin=replace(kept, model="another"))})


@pytest.mark.parametrize("stage", ["encode", "main"])
def test_after_a_failure_the_batch_can_begin_anew(
    stage: str, batch: EarBatch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> Any:
        raise RuntimeError(f"{stage} failed")

    streams = batch._streams
    run(batch, [{0: Speaker(1, 5), 2: Speaker(2, 5)}])
    owner: Any = streams.loaded.mimi if stage == "encode" else streams.gen._streaming_state
    with monkeypatch.context() as patch:
        patch.setattr(owner, "encode" if stage == "encode" else "graphed_main", fail)
        with pytest.raises(RuntimeError, match=stage):
            batch.step({0: EarInput(SILENCE)})
    batch.restart()
    after = Speaker(3, 8)
    run(batch, [{1: after}] * 8)
    assert same(after.written, written_alone(folder, after.frames))


def test_a_model_that_speaks_is_no_recogniser(tiny: Path) -> None:
    with pytest.raises(WrongModelError, match=r"kyutai\.stt_model"):
        EarBatch(load_folder(tiny), 1)


def test_a_snapshot_holds_what_was_heard_and_not_all_that_could_be(tmp_path: Path) -> None:
    batch = EarBatch(load_folder(tiny_stt(tmp_path, context=750)), 1)
    batch.open()
    sizes = []
    for _ in range(2):
        for _ in range(10):
            batch.step({0: EarInput(np.ones_like(SILENCE))})
        kept = batch.step({0: EarInput(SILENCE, keep=True)})[0].kept
        assert kept is not None
        sizes.append(kept.nbytes)
    batch.close()
    assert sizes[0] < sizes[1] < 2 * sizes[0]
