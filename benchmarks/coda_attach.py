"""What a voice adds to Coda's start and to its turns, against a real checkout.

    CODA_CHECKOUT=path python benchmarks/coda_attach.py [--runs 5] [--out DIR]

Runs in the environment of `make test-coda`. Each start is a process of its own, stock and with
a voice in turn. The voice is scripted, so that no engine is loaded: what is left is what
attaching costs. Figures are of one machine in one run; compare the two columns.
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

sys.path.append(sys.path.pop(0))
ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "with_coda")]

TARGET_MS = 100.0


async def start(voice: bool) -> dict[str, float]:
    """One start of the assistant; seconds by stage."""
    from core import ChatServer, chosen, make_assistant, write_config
    from spoken import Script, plugin, settings

    chosen()
    home = Path(tempfile.mkdtemp())
    os.chdir(home)
    took: dict[str, float] = {}
    async with ChatServer().open() as ollama:
        import coda.core.assistant  # noqa: F401 - its import is the core's own time

        path = write_config(home, ollama_url=ollama.url, websocket={"enabled": True})
        assistant = make_assistant(path)
        if voice:
            began = time.perf_counter()
            from coda_voice_hooks import enable

            enable(assistant, settings(), plugins=[("scripted", plugin(Script()))])
            took["enable"] = time.perf_counter() - began
        else:
            await _without_voice(assistant)
        began = time.perf_counter()
        await assistant.initialize()
        took["initialize"] = time.perf_counter() - began
        if voice:
            took["opening"] = await _opening(assistant)
        turns = []
        for number in range(20):
            began = time.perf_counter()
            result = await assistant.llm_manager.generate_response(f"Hello {number}", "s")
            assert result.content
            turns.append(time.perf_counter() - began)
        took["llm_turn"] = statistics.median(turns)
        await assistant.shutdown()
    return took


async def _without_voice(assistant: Any) -> None:
    """The core as it is, but for its own voice, whose start fails after some time."""

    async def none() -> None:
        assistant.voice_manager = None

    assistant._init_voice_manager = none


async def _opening(assistant: Any) -> float:
    """Seconds that opening the (scripted) engines and our own door takes, measured alone."""
    manager = assistant.voice_manager
    await manager.shutdown()
    began = time.perf_counter()
    await manager.initialize()
    return time.perf_counter() - began


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
        return round(1000 * statistics.median(row[stage] for row in rows[kind]), 1)

    added = ms("voice", "enable") + ms("voice", "initialize") - ms("stock", "initialize")
    beyond = round(added - ms("voice", "opening"), 1)
    report = {
        "runs": given.runs,
        "stock_initialize_ms": ms("stock", "initialize"),
        "voice_enable_ms": ms("voice", "enable"),
        "voice_initialize_ms": ms("voice", "initialize"),
        "voice_opening_ms": ms("voice", "opening"),
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
