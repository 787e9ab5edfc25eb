"""A conversation of ten spoken turns with tools, through `coda-voice talk`, written down.

    python benchmarks/spoken_conversation.py [--llm qwen2.5-coder-0.5b]

Installs docs/examples/coda-voice-notebook into a folder of its own, speaks ten
questions with hibari, plays them to `coda-voice talk` at the pace of a microphone,
and writes docs/conversation.md: what was heard, said and done, and when.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import describe

from coda_voice_plugin.audio import to_pcm, write_audio

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/examples/coda-voice-notebook"
LINES = (
    "Hello, who are you?",
    "What is the capital of France?",
    "And what is the capital of Italy?",
    "Please tell me what time it is now.",
    "Thank you. How many minutes are in an hour?",
    "Please take a note: buy milk and bread.",
    "Name one animal that gives milk.",
    "Is bread made from wheat?",
    "Which city did I ask about first?",
    "Thank you, goodbye.",
)


def speak(folder: Path) -> list[Path]:
    """Write what hibari makes of the lines."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    paths = []
    for number, line in enumerate(LINES):
        path = folder / f"line{number}.wav"
        write_audio(path, to_pcm(np.asarray(voice(line, seed=0), np.float32)), 24_000)
        paths.append(path)
    return paths


def talk(folder: Path, files: list[Path], llm: str) -> list[dict[str, object]]:
    """Run the command with the plugin installed; return its JSON rows."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pip += ["--no-build-isolation", "--target", str(folder / "site"), str(NOTEBOOK)]
    subprocess.run(pip, check=True)
    found = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, (str(folder / "site"), found)))
    command = [sys.executable, "-m", "coda_voice_plugin", "talk", "--json", *map(str, files)]
    command += ["--llm", "llamacpp", "--set", f"embedded_llm.model={llm}"]
    command += ["--set", "store.enabled=false"]
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(rows: list[dict[str, object]]) -> str:
    """The conversation as Markdown."""
    first = rows[0]
    lines = [
        "# A spoken conversation",
        "",
        f"Ten questions, spoken by {first['tts']}, heard by {first['stt']}, answered by",
        f"{first['llm']} with the tools of",
        "[examples/coda-voice-notebook](examples/coda-voice-notebook). Made by",
        "`python benchmarks/spoken_conversation.py`; nothing is edited, errors of the small",
        f"model included. {describe()}",
        "The number is the time from the last speech sample to the first sound of the answer.",
        "",
    ]
    for row in rows:
        timings = row["timings_ms"]
        assert isinstance(timings, dict)
        lines += [f"**You:** {row['heard']}", ""]
        tools = row["tools"]
        assert isinstance(tools, list)
        for tool in tools:
            lines += [f"> `{tool['name']}` {json.dumps(tool['arguments'])}", ""]
        late = f" *({timings['first_audio']:.0f} ms)*" if "first_audio" in timings else ""
        lines += [f"**Coda:** {row['said']}{' —' if row['interrupted'] else ''}{late}", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", default="qwen2.5-coder-0.5b", help="embedded model")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/conversation.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = talk(folder, speak(folder), arguments.llm)
    arguments.out.write_text(written(rows), "utf-8")
    print(arguments.out.read_text("utf-8"))


if __name__ == "__main__":
    main()
