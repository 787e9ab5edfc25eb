"""`coda-voice talk` with real speech, real engines and the small mind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coda_voice_plugin.audio import read_audio, to_floats, to_pcm, write_audio
from coda_voice_plugin.cli import run

SMALL = ("--llm", "llamacpp", "--set", "embedded_llm.model=smollm2-135m")


def talk(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict], str]:
    """Run the command in this process; return exit code, turns and stderr."""
    code = run(["talk", "--json", *SMALL, *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def speak(path: Path, *texts: str, gap_s: float = 0.0, rate: int = 24_000) -> Path:
    """Write what hibari makes of ``texts``, with silence between."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    silence = np.zeros(round(gap_s * 24_000), np.float32)
    pieces = [piece for text in texts for piece in (voice(text, seed=0), silence)]
    write_audio(path, to_pcm(np.concatenate(pieces[:-1]).astype(np.float32)), 24_000)
    return path


@pytest.mark.real
def test_a_question_in_a_file_is_heard_and_answered_in_speech(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = speak(tmp_path / "q.flac", "What is the capital of France?")
    code, turns, err = talk(capsys, question, "-o", tmp_path / "answer.ogg")
    assert code == 0, err
    (turn,) = turns
    assert turn["heard"] == "What is the capital of France?"
    assert turn["said"]
    assert set(turn["timings_ms"]) == {
        "capture",
        "endpoint",
        "stt",
        "llm_first_token",
        "tts_first_audio",
        "first_audio",
        "first_content",
    }
    assert (turn["strategy"], turn["interrupted"]) == ("ollama", False)
    answer = read_audio(tmp_path / "answer.ogg")
    assert answer.seconds > 1
    assert np.abs(to_floats(answer.pcm)).max() > 0.05


@pytest.mark.real
def test_several_files_are_one_conversation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = speak(tmp_path / "a.wav", "My name is Anna.")
    second = speak(tmp_path / "b.wav", "What is my name?")
    code, turns, err = talk(capsys, "--fast", first, second)
    assert code == 0, err
    assert [turn["heard"].rstrip(",.?") for turn in turns] == ["My name is Anna", "What is my name"]
    assert all(turn["said"] for turn in turns)


@pytest.mark.real
def test_speech_over_the_answer_interrupts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = speak(
        tmp_path / "both.wav",
        "Tell me a story about a dog.",
        "Stop, what is one plus one?",
        gap_s=4.0,
    )
    code, turns, err = talk(capsys, path, "--set", "embedded_llm.max_tokens=300")
    assert code == 0, err
    assert turns[0]["interrupted"]
    assert "one" in turns[-1]["heard"]


@pytest.mark.real
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_any_rate_is_heard(rate: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = read_audio(speak(tmp_path / "q.wav", "How many days are in a week?"), rate)
    write_audio(tmp_path / "r.wav", clip.pcm, rate)
    code, (turn,), err = talk(capsys, "--fast", tmp_path / "r.wav")
    assert code == 0, err
    assert "days" in turn["heard"]


@pytest.mark.real
def test_silence_is_told_and_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "silence.wav", bytes(2 * 16_000 * 3), 16_000)
    code, turns, err = talk(capsys, "--fast", tmp_path / "silence.wav")
    assert (code, turns) == (1, [])
    assert "no speech was heard" in err


@pytest.mark.parametrize(
    ("content", "says"), [(b"this is a text", "not an audio file"), (b"", "empty")]
)
def test_a_file_that_is_no_sound_is_refused_before_anything_is_loaded(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.wav"
    path.write_bytes(content)
    code, turns, err = talk(capsys, path)
    assert (code, turns) == (1, [])
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = talk(capsys, tmp_path / "nowhere.wav")
    assert code == 1
    assert "nowhere.wav" in err


def test_an_unknown_strategy_is_told_with_the_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "s.wav", bytes(3200), 16_000)
    code, _, err = talk(capsys, tmp_path / "s.wav", "--strategy", "olama")
    assert code == 1
    assert "Did you mean 'ollama'?" in err
