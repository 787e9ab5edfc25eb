"""The sound worklets, driven by hand one quantum at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from chromium import empty_page

from coda_voice_plugin.server.app import WEB

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

RATE = 24_000
STAGE = """
  window.sampleRate = RATE;
  window.sent = [];
  window.AudioWorkletProcessor = class {
    port = { postMessage: (message) => sent.push(message), onmessage: null };
  };
  window.registerProcessor = (_, processor) => { window.worklet = new processor(); };
  window.give = (data) => worklet.port.onmessage({ data });
  window.speech = (turn, start, count, value = 0.5) =>
    give({ type: "speech", turn, start, pcm: new Int16Array(count).fill(value * 32768).buffer });
  window.quantum = () => {
    const output = new Float32Array(128);
    worklet.process([], [[output]]);
    return [...output];
  };
  window.quanta = (count) => Array.from({ length: count }, quantum).flat();
"""


@pytest_asyncio.fixture(loop_scope="module")
async def stage(chromium: Any) -> AsyncIterator[Any]:
    async with empty_page(chromium) as page:

        async def play(file: str, script: str) -> Any:
            source = (WEB / file).read_text()
            await page.evaluate(STAGE.replace("RATE", str(RATE)))
            await page.evaluate(f"(0, eval)({json.dumps('{' + source + '}')})")
            return await page.evaluate(script)

        yield play


async def test_a_reply_waits_for_sixty_milliseconds_of_sound(stage: Any) -> None:
    early, late = await stage(
        "playback.js",
        """() => { speech(1, 0, 1439); const early = quanta(3); speech(1, 1439, 1);
                   return [early, quantum()]; }""",
    )
    assert set(early) == {0}
    assert set(late) == {0.5}


async def test_before_anything_is_said_nothing_is_reported_and_the_first_sound_is_whole(
    stage: Any,
) -> None:
    sent, sound = await stage(
        "playback.js",
        """() => { quanta(5); const before = [...sent]; speech(1, 0, 1440);
                   return [before, quantum()]; }""",
    )
    assert sent == []
    assert set(sound) == {0.5}


async def test_a_short_reply_does_not_wait_and_is_reported_to_its_end(stage: Any) -> None:
    sound, sent = await stage(
        "playback.js",
        """() => { speech(1, 0, 200); give({ type: "end", turn: 1, samples: 200 });
                   return [quanta(3), sent]; }""",
    )
    assert sound == [0.5] * 200 + [0.0] * 184
    assert sent == [{"turn": 1, "samples": 200, "done": True, "still": False}]


async def test_an_end_that_comes_after_the_last_sample_is_reported_too(stage: Any) -> None:
    sent = await stage(
        "playback.js",
        """() => { speech(1, 0, 2400); quanta(30); sent.length = 0;
                   give({ type: "end", turn: 1, samples: 2400 }); return sent; }""",
    )
    assert sent == [{"turn": 1, "samples": 2400, "done": True, "still": False}]


async def test_a_flush_is_silent_after_one_quantum_that_fades(stage: Any) -> None:
    before, fade, after, sent = await stage(
        "playback.js",
        """() => { speech(1, 0, 9600); const before = quanta(2); give({ type: "flush", turn: 1 });
                   const fade = quantum(); speech(1, 9600, 9600); const after = quanta(20);
                   return [before, fade, after, sent]; }""",
    )
    assert set(before) == {0.5}
    assert fade == sorted(fade, reverse=True)
    assert fade[0] > 0.49
    assert fade[-1] == 0
    assert set(after) == {0}
    assert sent[-1] == {"turn": 1, "samples": 384, "done": True, "still": False}


async def test_a_turn_that_is_held_fades_stands_still_and_goes_on_from_there(stage: Any) -> None:
    before, fade, still, sent, back, after = await stage(
        "playback.js",
        """() => { speech(1, 0, 9600); const before = quanta(2);
                   give({ type: "hold", turn: 1, held: true }); const fade = quanta(4);
                   const still = quanta(40); const reports = sent.splice(0);
                   give({ type: "hold", turn: 1, held: false }); const back = quanta(4);
                   return [before, fade, still, reports, back, quanta(80)]; }""",
    )
    assert set(before) == {0.5}
    assert fade == sorted(fade, reverse=True)
    assert sum(sample > 0 for sample in fade) in (479, 480), "20 ms"
    assert set(still) == {0}
    assert sent == [{"turn": 1, "samples": 256 + 480, "done": False, "still": True}]
    assert back == sorted(back)
    assert 0 < back[0] < 0.01
    assert set(back[480:]) == {0.5}
    # nothing is lost and nothing is played twice
    assert sum(sample > 0 for sample in back + after) == 9_600 - 256 - 480


async def test_a_held_turn_takes_sound_and_can_be_flushed(stage: Any) -> None:
    still, sent, next_turn = await stage(
        "playback.js",
        """() => { speech(1, 0, 4800); quanta(2); give({ type: "hold", turn: 1, held: true });
                   quanta(4); speech(1, 4800, 4800); const still = quanta(10);
                   give({ type: "flush", turn: 1 }); still.push(...quantum());
                   const reports = sent.splice(0);
                   speech(2, 0, 1440, 0.25); return [still, reports, quanta(12)]; }""",
    )
    assert set(still) == {0}
    assert [(report["samples"], report["done"]) for report in sent] == [(736, False), (736, True)]
    assert next_turn == [0.25] * 1_440 + [0.0] * 96


async def test_a_turn_that_is_held_before_it_sounds_does_not_begin(stage: Any) -> None:
    held, begun = await stage(
        "playback.js",
        """() => { give({ type: "hold", turn: 1, held: true }); speech(1, 0, 4800);
                   const held = quanta(20); give({ type: "hold", turn: 1, held: false });
                   return [held, quanta(40)]; }""",
    )
    assert set(held) == {0}
    assert sum(sample > 0 for sample in begun) == 4_800


async def test_what_ran_dry_while_it_was_held_is_reported_where_it_stands(stage: Any) -> None:
    sent = await stage(
        "playback.js",
        """() => { speech(1, 0, 1600); quanta(20); sent.length = 0;
                   give({ type: "hold", turn: 1, held: true }); quanta(3); return sent; }""",
    )
    assert sent == [{"turn": 1, "samples": 1_600, "done": False, "still": True}]


async def test_a_flush_leaves_the_next_turn_alone(stage: Any) -> None:
    sound = await stage(
        "playback.js",
        """() => { speech(1, 0, 9600); quanta(2); speech(2, 0, 1440, 0.25);
                   give({ type: "flush", turn: 1 }); quantum(); return quanta(12); }""",
    )
    assert sound == [0.25] * 1440 + [0.0] * 96


async def test_the_position_is_reported_ten_times_a_second(stage: Any) -> None:
    sent = await stage("playback.js", "() => { speech(1, 0, 24000); quanta(180); return sent; }")
    positions = [report["samples"] for report in sent]
    assert len(positions) in (9, 10)
    assert positions == sorted(positions)
    assert all(not report["done"] for report in sent)


async def test_microphone_frames_last_twenty_milliseconds(stage: Any) -> None:
    frames = await stage(
        "capture.js",
        """() => { for (let i = 0; i < 15; i++)
                     worklet.process([[new Float32Array(128).fill(1.5), new Float32Array(128)]]);
                   worklet.process([[]]);
                   return sent.map((frame) => [...new Int16Array(frame)]); }""",
    )
    assert [len(frame) for frame in frames] == [480] * 4
    assert set(frames[0]) == {round(0.75 * 32_767)}
