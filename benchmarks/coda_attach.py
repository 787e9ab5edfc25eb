"""What a voice adds to Coda's start and to its turns, against a real checkout.

    CODA_CHECKOUT=path python benchmarks/coda_attach.py [--runs 5] [--out DIR]

Runs in the environment of `make test-coda`. Each start is a process of its own, stock and with
a voice in turn. The voice is the echo, which loads no engine: what is left is what attaching
costs. It is timed piece by piece on the loop: the core's own start varies by more than all of it
(its memory loads a model), so two whole starts say less. The import of our modules runs in a
thread, beside a second in which the core holds its loop to look at the processor; it is reported,
and adds to the start only where it outlasts that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.append(sys.path.pop(0))
ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "with_coda")]

TARGET_MS = 100.0


async def start(voice: bool) -> dict[str, float]:
    """One start of the assistant; seconds by stage."""
    from core import ChatServer, chosen, make_assistant, write_config

    chosen()
    home = Path(tempfile.mkdtemp())
    os.chdir(home)
    took: dict[str, float] = {}
    pieces: dict[str, float] = {}
    async with ChatServer().open() as ollama:
        import coda.core.assistant  # noqa: F401 - its import is the core's own time

        own = {"strategy": "echo", "server": {"port": 0}, "llm": "auto"}
        path = write_config(
            home, ollama_url=ollama.url, websocket={"enabled": True}, voice=own | {"mode": None}
        )
        document = yaml.safe_load(path.read_text())
        del document["voice"]["mode"]
        path.write_text(yaml.safe_dump(document))
        assistant = make_assistant(path)
        if voice:
            began = time.perf_counter()
            from coda_voice_hooks import enable

            attachment = enable(assistant, path)
            took["enable"] = time.perf_counter() - began
            _time_pieces(attachment, pieces)
        else:
            await _without_voice(assistant)
        began = time.perf_counter()
        await assistant.initialize()
        took["initialize"] = time.perf_counter() - began
        if voice:
            took |= pieces
        turns = []
        for number in range(20):
            began = time.perf_counter()
            result = await assistant.llm_manager.generate_response(f"Hello {number}", "s")
            assert result.content
            turns.append(time.perf_counter() - began)
        took["llm_turn"] = statistics.median(turns)
        await assistant.shutdown()
    return took


def _time_pieces(attachment: Any, pieces: dict[str, float]) -> None:
    """Time what happens on the loop when the voice is built, opened and joined."""
    from coda_voice_hooks import attachment as module
    from coda_voice_hooks.voice_manager import VoiceManager

    def timed(owner: Any, name: str, label: str) -> None:
        before = getattr(owner, name)

        async def wrapped(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return await before(*given, **named)
            finally:
                pieces.setdefault(label, time.perf_counter() - began)

        setattr(owner, name, wrapped)

    load = module._load_modules

    def loading() -> None:
        began = time.perf_counter()
        load()
        pieces["modules"] = time.perf_counter() - began

    module._load_modules = loading
    timed(VoiceManager, "initialize", "opened")
    timed(attachment, "join", "joined")


async def _without_voice(assistant: Any) -> None:
    """The core as it is, but for its own voice, whose start fails after some time.

    Its stand-in lets the loop turn once, as any voice does: what the core has begun by then
    (a look at the processor that takes a second) counts for both.
    """

    class Nothing:
        async def initialize(self) -> None:
            await asyncio.to_thread(time.sleep, 0.001)

    async def none() -> None:
        assistant.voice_manager = Nothing()

    assistant._init_voice_manager = none


def measure(voice: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", "voice" if voice else "stock"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=["stock", "voice"])
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asyncio.run(start(given.one == "voice"))))
        return
    rows = {kind: [] for kind in ("stock", "voice")}
    for _ in range(given.runs):
        for kind, each in rows.items():
            each.append(measure(kind == "voice"))

    def ms(kind: str, stage: str) -> float:
        """The best of all runs: what disturbs a start only ever adds to it."""
        return round(1000 * min(row[stage] for row in rows[kind]), 1)

    beyond = round(sum(ms("voice", stage) for stage in ("enable", "opened", "joined")), 1)
    report = {
        "runs": given.runs,
        "stock_initialize_ms": ms("stock", "initialize"),
        "voice_enable_ms": ms("voice", "enable"),
        "voice_initialize_ms": ms("voice", "initialize"),
        "voice_opened_ms": ms("voice", "opened"),
        "voice_joined_ms": ms("voice", "joined"),
        "modules_in_a_thread_ms": ms("voice", "modules"),
        "attaching_ms": beyond,
        "target_ms": TARGET_MS,
        "stock_llm_turn_ms": ms("stock", "llm_turn"),
        "voice_llm_turn_ms": ms("voice", "llm_turn"),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "coda_attach.json").write_text(text + "\n")
    sys.exit(beyond > TARGET_MS)


if __name__ == "__main__":
    main()
