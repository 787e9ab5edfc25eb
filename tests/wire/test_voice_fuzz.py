"""Twenty thousand damaged messages; ``python -m coda_voice_plugin.testing.fuzz`` throws more."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import tracemalloc

import pytest

from coda_voice_plugin import WireError
from coda_voice_plugin.testing import fuzz as fuzzing
from coda_voice_plugin.testing.fuzz import BrokenReaderError, fuzz, mutated
from coda_voice_plugin.testing.fuzz_targets import MOST_BYTES, Target, targets

SEEDS = ['{"type":"text","text":"hello"}']


def test_twenty_thousand_damaged_messages_are_read_or_refused() -> None:
    report = fuzz(20_000, seed=1)
    assert report.messages == 20_000
    assert 10_000 < report.refused < 19_000
    assert set(report.by_target) == {target.name for target in targets()}


def test_reading_damaged_messages_keeps_no_memory() -> None:
    aims = targets()
    fuzz(2_000, seed=2, aims=aims)
    tracemalloc.start()
    try:
        fuzz(1_000, seed=3, aims=aims)
        before, _ = tracemalloc.get_traced_memory()
        fuzz(3_000, seed=4, aims=aims)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_each_reader_takes_what_it_is_seeded_with(target: Target) -> None:
    taken = 0
    for seed in target.seeds:
        try:
            target.read(seed)
        except target.refusals:
            continue
        taken += 1
    assert taken >= len(target.seeds) // 4 or "kyutai" in target.name
    assert taken


def test_a_reader_that_breaks_is_found() -> None:
    def read(message: str | bytes) -> None:
        value = json.loads(message)  # raises ValueError, which is no refusal
        raise WireError(f"{value}")

    with pytest.raises(BrokenReaderError, match=r"^odd: .*Error for '"):
        fuzz(500, aims=[Target("odd", SEEDS, read)])


def test_a_reader_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "MOST_S", 0.01)
    with pytest.raises(BrokenReaderError, match=r"^slow: "):
        fuzz(1, aims=[Target("slow", SEEDS, lambda message: busy(0.02))])


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_refusal_of_several_lines_is_found() -> None:
    def read(message: str | bytes) -> None:
        raise WireError("two\nlines")

    with pytest.raises(BrokenReaderError, match="several lines"):
        fuzz(1, aims=[Target("wordy", SEEDS, read)])


def test_the_same_seed_throws_the_same_messages() -> None:
    first, second = random.Random(9), random.Random(9)
    for _ in range(200):
        one, other = mutated(SEEDS[0], first), mutated(SEEDS[0], second)
        assert one == other
        assert len(one) <= MOST_BYTES


def test_it_can_be_run_from_the_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coda_voice_plugin.testing.fuzz", "-n", "500", "--seed", "5"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("500 messages in ")
