"""Words put into the stream of a real model: they are said, and the neighbours notice nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from small import GREEDY, opened, small_moshi
from solo import speech

from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import (
    FRAME,
    Fresh,
    MoshiInput,
    MoshiOutput,
    Sampling,
    TextRule,
)
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import EPAD, MOST_PADS, PAD, Script
from coda_voice_plugin.kyutai.slot import DELAY, MoshiSlot

STEPS = 36
SAMPLED = Sampling(seed=7)
SENTENCE = "hello how are you tomorrow"
Told = Callable[[Script, int], None]
"""What is done to a script before a step."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_moshi(tmp_path_factory.mktemp("given"), context=3_000)


def run(folder: Path, sampling: Sampling, told: Told | None = None) -> list[list[MoshiOutput]]:
    """Outputs of two slots by slot; the second one is ``told``."""
    found: list[list[MoshiOutput]] = [[], []]
    callers = [speech(seed, STEPS) for seed in (1, 2)]
    with opened(folder, 2, sampling) as batch:
        torch.manual_seed(3)
        script = Script(batch.loaded.tokenizer)
        for step in range(STEPS):
            if told is not None:
                told(script, step)
            begin = Fresh() if step == 0 else None
            rules = [TextRule(), script.rule()]
            work = {
                slot: MoshiInput(callers[slot][step], begin=begin, text=rules[slot])
                for slot in range(2)
            }
            for slot, out in batch.step(work).items():
                found[slot].append(out)
            script.took(found[1][-1].token)
    return found


def say(text: str, at: int = 4, manner: str = "forced") -> Told:
    def told(script: Script, step: int) -> None:
        script.hold(True)
        if step == at:
            script.say(text, manner)

    return told


@cache
def free(folder: Path, sampling: Sampling) -> list[list[MoshiOutput]]:
    return run(folder, sampling)


@cache
def forced(folder: Path, sampling: Sampling) -> list[list[MoshiOutput]]:
    return run(folder, sampling, say(SENTENCE))


@cache
def soft(folder: Path, sampling: Sampling) -> list[list[MoshiOutput]]:
    return run(folder, sampling, say(SENTENCE, manner="soft"))


def words(folder: Path, tokens: list[int]) -> list[str]:
    monologue = Monologue(load_folder(folder).tokenizer)
    found = [word.text for token in tokens for word in monologue.push(token)]
    return [*found, *(word.text for word in monologue.finish())]


def assert_untouched(found: list[MoshiOutput], expected: list[MoshiOutput]) -> None:
    """The same, bit by bit: what was sampled, what was written, and the sound."""
    for one, other in zip(found, expected, strict=True):
        assert (one.sampled, one.token, one.text) == (other.sampled, other.token, other.text)
        assert (one.sound is None) == (other.sound is None)
        if one.sound is not None:
            assert np.array_equal(one.sound, other.sound)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_exactly_the_given_words_are_said_and_heard(folder: Path, sampling: Sampling) -> None:
    (_, told) = forced(folder, sampling)
    assert words(folder, [out.token for out in told[4:]]) == SENTENCE.split()
    # and they are in what goes with the sound, one step later
    assert [out.text for out in told[DELAY:]] == [out.token for out in told[:-DELAY]]
    assert words(folder, [out.text for out in told[4 + DELAY :]]) == SENTENCE.split()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("told", [forced, soft], ids=["forced", "soft"])
def test_the_neighbour_is_untouched_bit_by_bit(
    folder: Path, sampling: Sampling, told: Callable
) -> None:
    assert_untouched(told(folder, sampling)[0], free(folder, sampling)[0])


def test_the_sound_follows_the_words(folder: Path) -> None:
    heard, expected = forced(folder, GREEDY)[1], free(folder, GREEDY)[1]
    first = next(at for at in range(STEPS) if heard[at].token != expected[at].token)
    sounds = [(one.sound, other.sound) for one, other in zip(heard, expected, strict=True)]
    assert all(np.array_equal(*pair) for pair in sounds[DELAY : first + DELAY])
    assert not np.allclose(*sounds[first + DELAY + 1], atol=1e-3)


def test_soft_words_are_said_in_order_and_the_model_has_nothing_else_to_choose(
    folder: Path,
) -> None:
    (_, told) = soft(folder, SAMPLED)
    said = words(folder, [out.token for out in told[4:]])
    assert said
    assert said == SENTENCE.split()[: len(said)]
    tokenizer = load_folder(folder).tokenizer
    allowed = {PAD, EPAD, *tokenizer.encode(SENTENCE)}
    assert {out.token for out in told[5:]} <= allowed


def test_hushed_it_stops_in_the_next_step_in_the_middle_of_a_word(folder: Path) -> None:
    tokenizer = load_folder(folder).tokenizer
    long = tokenizer.encode("speaking")
    assert len(long) > 1
    at = 4 + 2  # the announcement, the first piece

    def told(script: Script, step: int) -> None:
        say("speaking")(script, step)
        if step == at:
            script.hush()

    found = run(folder, GREEDY, told)
    tokens = [out.token for out in found[1]]
    assert tokens[at - 2 : at] == [EPAD, long[0]]
    assert tokens[at:] == [PAD] * (STEPS - at)
    assert any(out.sampled != PAD for out in found[1][at:])  # it would have gone on
    assert_untouched(found[0], free(folder, GREEDY)[0])


def test_a_model_that_never_wants_a_word_says_them_at_the_slowest_pace(folder: Path) -> None:
    text = "hello how"
    (_, told) = run(folder, GREEDY, say(text))
    tokens = [out.token for out in told[4:]]
    first, second = (load_folder(folder).tokenizer.encode(word) for word in text.split())
    pads = tokens.index(EPAD, len(first) + 1) - len(first) - 1
    assert 1 <= pads <= MOST_PADS
    start = 1 + len(first) + pads
    assert tokens[: start + 1 + len(second)] == [EPAD, *first, *[PAD] * pads, EPAD, *second]


def with_temperature(
    folder: Path, sampling: Sampling, temperature: float | None
) -> list[list[MoshiOutput]]:
    """Outputs of two slots by slot; the second one has a temperature of its own."""
    found: list[list[MoshiOutput]] = [[], []]
    callers = [speech(seed, 12) for seed in (1, 2)]
    with opened(folder, 2, sampling) as batch:
        torch.manual_seed(3)
        for step in range(12):
            begin = Fresh() if step == 0 else None
            rule = TextRule(temperature=temperature)
            work = {
                0: MoshiInput(callers[0][step], begin=begin),
                1: MoshiInput(callers[1][step], begin=begin, text=rule),
            }
            for slot, out in batch.step(work).items():
                found[slot].append(out)
    return found


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_temperature_of_its_own_leaves_the_neighbour_as_it_was(
    folder: Path, sampling: Sampling
) -> None:
    cool, warm = (with_temperature(folder, sampling, each) for each in (1e-3, None))
    assert_untouched(cool[0], warm[0])
    if sampling.greedy:
        assert [out.sampled for out in cool[1]] == [out.sampled for out in warm[1]]
    else:
        assert [out.sampled for out in cool[1]] != [out.sampled for out in warm[1]]
        # so cool that it takes the likeliest word, in the first step at least
        assert cool[1][0].sampled == free(folder, GREEDY)[1][0].sampled


def test_a_slot_reports_its_given_words_where_the_model_says_them(folder: Path) -> None:
    with opened(folder, 1) as batch:
        assert max(batch.loaded.lm.delays) == DELAY
        tokenizer = batch.loaded.tokenizer
        slot = MoshiSlot(Script(tokenizer), Monologue(tokenizer), Fresh(), lambda left: None)
        slot.hold(True)
        slot.say("hello tomorrow")
        for frame in speech(1, 16):
            slot.push(frame)
            given = slot.gather()
            assert given is not None
            slot.give(batch.step({0: given})[0])
        heard = [slot._speech._waiting.popleft() for _ in range(slot.waiting)]
    assert [each.start for each in heard] == [FRAME * n for n in range(15)]
    spoken = tuple(word for each in heard for word in each.words)
    assert [word.text for word in spoken] == ["hello", "tomorrow"]
    assert slot.report().said == spoken
