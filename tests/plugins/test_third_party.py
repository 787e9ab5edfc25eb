"""The package of docs/examples is installed as anybody would, and spoken with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "coda-voice-parrot"

CONVERSATION = """
import asyncio, json, sys
from coda_voice_plugin import AudioFrame, Session, VoiceConfig, open_host
from coda_voice_plugin.audio import read_audio
from coda_voice_plugin.config import load_config
from coda_voice_plugin.events import Hello, Speech, TurnEnded

async def main():
    config = load_config(overrides=["strategy=parrot", "store.enabled=false"]).config
    sound = read_audio(sys.argv[1])
    turns, spoken = [], 0

    async def send(event):
        nonlocal spoken
        if isinstance(event, Speech):
            spoken += event.frame.samples
        if isinstance(event, TurnEnded):
            turns.append(event.turn)
            session.close()

    async with open_host(config) as host:
        session = Session(host, send, Hello(rate=sound.rate))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(session.run())
            step = sound.rate // 50 * 2
            quiet = bytes(3 * 2 * sound.rate)
            for at in range(0, len(sound.pcm) + len(quiet), step):
                session.receive(AudioFrame((sound.pcm + quiet)[at:at + step], sound.rate))
                await asyncio.sleep(0.005)
    json.dump([[t.user, t.assistant, t.strategy, spoken] for t in turns], sys.stdout)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a Python that has the example, installed by pip from its folder."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-index", "--no-deps", "--no-build-isolation", "--target", target, EXAMPLE],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": str(target)}


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spoken question, made by the built-in voice."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    script = (
        "import sys; from coda_voice_plugin.audio import to_pcm, write_audio;"
        "import asyncio; from coda_voice_plugin import *;"
        "from coda_voice_plugin.engines.hibari import HibariTTS\n"
        "async def main():\n"
        "    async with HibariTTS(VoiceConfig()).open() as voice:\n"
        "        text = 'What is the capital of France?'\n"
        "        pcm = b''.join([to_pcm(piece.samples) async for piece in"
        " voice.synthesize(text, SpeakingStyle())])\n"
        "        write_audio(sys.argv[1], pcm, voice.sample_rate)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True, text=True)
    return path


def run(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_listed_with_its_package(installed: dict[str, str]) -> None:
    listed = run(["-m", "coda_voice_plugin", "plugins", "--json"], installed)
    found = {each["plugin"]: each for each in json.loads(listed)}
    assert found["parrot"]["package"] == "coda-voice-parrot 1.0"
    assert found["parrot"]["registers"] == [["strategy", "parrot"]]


def test_the_example_s_own_test_passes(installed: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "test_parrot.py"
    copy.write_text((EXAMPLE / "test_parrot.py").read_text())
    assert "1 passed" in run(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy)], installed)


def test_the_example_is_as_short_as_the_documentation_says() -> None:
    code = (EXAMPLE / "coda_voice_parrot.py").read_text().splitlines()
    assert len([line for line in code if line.strip() and not line.startswith('"""')]) <= 12
    entry = (EXAMPLE / "pyproject.toml").read_text()
    assert '[project.entry-points.coda_voice]\nparrot = "coda_voice_parrot"' in entry


def test_without_the_package_its_strategy_is_unknown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coda_voice_plugin", "fetch", "--strategy", "parrot"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no strategy named 'parrot'" in done.stderr


@pytest.mark.real
def test_a_conversation_is_held_with_the_example(
    installed: dict[str, str], question: Path, tmp_path: Path
) -> None:
    script = tmp_path / "conversation.py"
    script.write_text(CONVERSATION)
    [[user, assistant, strategy, spoken]] = json.loads(run([str(script), str(question)], installed))
    assert strategy == "parrot"
    assert re.sub(r"\W+", " ", user.lower()).strip() == "what is the capital of france"
    assert assistant == f"You said: {user}"
    assert spoken > 24_000


@pytest.mark.real
def test_the_terminal_speaks_with_the_example(
    installed: dict[str, str], question: Path, tmp_path: Path
) -> None:
    answer = tmp_path / "answer.wav"
    arguments = ["talk", str(question), "-o", str(answer), "--strategy", "parrot", "--json"]
    [line] = run(["-m", "coda_voice_plugin", *arguments], installed).splitlines()
    turn = json.loads(line)
    assert turn["said"] == f"You said: {turn['heard']}"
    assert "capital of france" in turn["heard"].lower()
    assert answer.stat().st_size > 24_000
