"""The engine of one process: places, openings, dropped calls, and a model that breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solo import speech

from coda_voice_plugin import BusyError, EngineError, VoiceConfig
from coda_voice_plugin.kyutai.moshi import MoshiEngine
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.kyutai.wheel import Wheel

TINY = {"optimization": "fp32", "temperature": 0.0, "text_temperature": 0.0, "slots": 2}


def settings(folder: Path, **moshi: object) -> VoiceConfig:
    return VoiceConfig(moshi=TINY | {"model_path": str(folder)} | moshi)


@pytest.fixture
async def engine(tiny: Path) -> AsyncIterator[MoshiEngine]:
    async with MoshiEngine(settings(tiny)).open() as opened:
        yield opened


async def listen(line: MoshiSlot, frames: list[np.ndarray], count: int) -> list[Any]:
    """Talk, and take so many frames of what is said."""
    found: list[Any] = []
    waiting = iter(frames)
    for frame in (next(waiting), next(waiting), next(waiting)):
        line.push(frame)
    async with aclosing(line.spoken()) as spoken:
        async for piece in spoken:
            found.append(piece)
            if len(found) == count:
                return found
            line.push(next(waiting))
    return found


async def test_a_full_house_is_told_at_once_and_a_place_is_free_after_a_call(
    engine: MoshiEngine,
) -> None:
    moshi = engine._config.moshi
    async with engine.line(moshi), engine.line(moshi):
        assert engine.report()["taken"] == engine.capacity == 2
        with pytest.raises(BusyError):
            async with engine.line(moshi):
                pass
    async with engine.line(moshi):
        assert engine.report()["taken"] == 1


async def test_the_full_house_is_told_while_the_model_computes(
    engine: MoshiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing, go_on = threading.Event(), threading.Event()
    real = engine._batch.step

    def slow(work: Any) -> Any:
        computing.set()
        assert go_on.wait(10)
        return real(work)

    monkeypatch.setattr(engine._batch, "step", slow)
    moshi = engine._config.moshi
    async with engine.line(moshi) as line, engine.line(moshi):
        line.push(speech(1, 1)[0])
        assert await asyncio.to_thread(computing.wait, 10)
        with pytest.raises(BusyError):
            async with engine.line(moshi):
                pass
        go_on.set()


async def test_it_waits_for_the_user_or_says_what_it_is_told_to(tiny: Path) -> None:
    said = {}
    for opening in ("free", "listen", "hello thank you"):
        config = settings(tiny, opening=opening)
        async with MoshiEngine(config).open() as engine, engine.line(config.moshi) as line:
            frames = [np.zeros(1_920, np.float32)] * 60
            pieces = await listen(line, frames, 45)
            said[opening] = " ".join(word.text for each in pieces for word in each.words)
    assert said["free"] != ""
    assert said["listen"] == ""
    assert said["hello thank you"].startswith("hello thank you")


async def test_a_dropped_call_goes_on_where_it_was_left(engine: MoshiEngine) -> None:
    moshi = engine._config.moshi
    frames = speech(3, 40)
    async with engine.line(moshi) as line:
        whole = await listen(line, frames, 30)
    async with engine.line(moshi) as line:
        first = await listen(line, frames[:13], 10)
        # frames that were sent ahead are heard before the line is left
        while line.arrivals.frames:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        kept = await engine.snapshot(line)
    done = kept.steps
    async with engine.line(moshi, kept) as line:
        rest = await listen(line, frames[done:], 10)
    for one, other in zip(first, whole, strict=False):
        np.testing.assert_allclose(one.sound, other.sound, atol=1e-5)
    for one, other in zip(rest, whole[done - 1 :], strict=False):
        np.testing.assert_allclose(one.sound, other.sound, atol=1e-5)


async def test_a_call_that_is_over_has_no_state(engine: MoshiEngine) -> None:
    async with engine.line(engine._config.moshi) as line:
        pass
    with pytest.raises(EngineError, match="the call is over"):
        await engine.snapshot(line)


async def test_a_model_that_fails_in_one_tick_ends_the_calls_and_serves_the_next(
    engine: MoshiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    moshi = engine._config.moshi
    frames = speech(5, 30)
    async with engine.line(moshi) as line:
        before = await listen(line, frames, 10)
    real, failures = (
        engine._batch._streams.gen.step,
        [RuntimeError("CUDA error: an illegal access")],
    )

    def step(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*given)

    monkeypatch.setattr(engine._batch._streams.gen, "step", step)
    async with engine.line(moshi) as one, engine.line(moshi) as other:
        for line in (one, other):
            line.push(frames[0])
        for line in (one, other):
            with pytest.raises(EngineError, match="the model failed: RuntimeError: CUDA error"):
                async with aclosing(line.spoken()) as spoken:
                    await anext(spoken)
    while engine.wheel.ticks.restarts == 0:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)
    async with engine.line(moshi) as line:
        after = await listen(line, frames, 10)
    assert engine.report()["restarts"] == 1
    for piece, same in zip(after, before, strict=True):
        np.testing.assert_allclose(piece.sound, same.sound, atol=1e-5)


async def test_the_figures_for_the_operator_are_looked_up(engine: MoshiEngine) -> None:
    async with engine.line(engine._config.moshi) as line:
        await listen(line, speech(1, 12), 5)
        report = engine.report()
    assert report["ticks"] >= 5
    assert 0 < report["tick_ms_p50"] <= report["tick_ms_p99"]
    assert 0 < report["occupancy"] <= 0.5
    assert report["down"] is None
    assert report["slots"] == 2
    assert report["device"] == "cpu"


async def test_after_the_block_nothing_turns(tiny: Path) -> None:
    async with MoshiEngine(settings(tiny)).open() as engine:
        wheel: Wheel[Any, Any] = engine.wheel
    assert wheel.down is not None
    with pytest.raises(EngineError, match="is closing"):
        async with engine.line(engine._config.moshi):
            pass
