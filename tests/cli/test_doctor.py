"""`coda-voice doctor`: what it looks at, and that nothing it meets stops it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ollama_server import OllamaServer

from coda_voice_plugin import Finding, Plugins, VoiceConfig, VoiceError, hookimpl, load_plugins
from coda_voice_plugin.cli import check, doctor, run
from coda_voice_plugin.cli.doctor import microphone, server

QUICK = ("--strategy", "echo", "--set", "server.port=0")
"""Nothing to load, and nothing of Coda's: that has tests of its own."""


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[Any]]:
    code = run(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Plugins beside our own, by name; Coda's part is not there."""
    beside: dict[str, object] = {}

    def load(disabled: Iterable[str] = ()) -> Plugins:
        return load_plugins({*disabled, "coda"}, beside.items())

    monkeypatch.setattr("coda_voice_plugin.plugins.load_plugins", load)
    return beside


def lamps(check: Callable[[], Iterable[Finding]]) -> object:
    """A plugin with one check."""

    class Guest:
        @hookimpl
        def register_checks(self, register: Callable[..., None]) -> None:
            register("Lamps", check)

    return Guest()


@pytest.mark.usefixtures("guests")
def test_everything_is_looked_at_under_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", *QUICK]) == 0
    out = capsys.readouterr().out
    for title in ("Python and packages", "Settings", "Speech", "Ollama", "Door"):
        assert len(re.findall(rf"^{title}$", out, re.MULTILINE)) == 1
    assert re.search(r"^  ok      Python 3\.", out, re.MULTILINE)
    assert re.search(r"^  ok      coda-voice-plugin \d", out, re.MULTILINE)
    assert re.search(r"^  ok      settings: defaults", out, re.MULTILINE)
    assert re.search(r"^  ok      strategy: echo", out, re.MULTILINE)
    assert out.splitlines()[-1] == "nothing is broken or slow."


@pytest.mark.usefixtures("guests")
def test_what_is_broken_makes_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--set", f"models.cache_dir={tmp_path}", "--set", f"server.port={port}"]
        assert run(["doctor", "--llm", "llamacpp", *arguments]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^  broken  weights: .*coda-voice fetch silero-vad", out, re.MULTILINE)
    assert re.search(rf"^  broken  port: port {port} .* is in use", out, re.MULTILINE)
    assert re.fullmatch(r"\d broken\.", out.splitlines()[-1])


@pytest.mark.usefixtures("guests")
def test_other_strategies_say_whether_their_weights_are_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = findings(capsys, *QUICK, "--set", f"models.cache_dir={tmp_path}")
    assert code == 0
    [moshi] = [row for row in found if row["what"].startswith("strategy moshi")]
    assert moshi["state"] == "note"
    assert moshi["remedy"].endswith("coda-voice fetch --strategy moshi")


def test_faulty_settings_are_findings_and_plugins_are_asked_all_the_same(
    guests: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    guests["lamps"] = lamps(lambda: [Finding("ok", "all are on")])
    code, found = findings(capsys, "--set", "audio.vadd=1", "--set", "server.port=-1")
    assert code == 1
    told = [row["what"] for row in found if row["title"] == "Settings"]
    assert len(told) == 2
    assert "audio.vadd" in told[0]
    assert found[-1] == {"title": "Lamps", "state": "ok", "what": "all are on", "remedy": ""}


def test_plugins_that_do_not_load_are_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(disabled: Iterable[str] = ()) -> Plugins:
        raise VoiceError("plugin 'bad' failed to load.")

    monkeypatch.setattr("coda_voice_plugin.plugins.load_plugins", load)
    code, found = findings(capsys, *QUICK)
    assert code == 1
    assert found[-1]["what"] == "plugin 'bad' failed to load."


@pytest.mark.parametrize("error", [ZeroDivisionError("by nought"), SystemExit(3)])
def test_a_check_that_crashes_is_a_finding_and_the_others_go_on(
    error: BaseException, guests: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    def crashes() -> Iterator[Finding]:
        yield Finding("slow", "one flickers", "change it")
        raise error

    guests["lamps"] = lamps(crashes)
    guests["a-lamps"] = lamps(lambda: [Finding("ok", "another")])
    assert run(["doctor", *QUICK]) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    assert "  slow    one flickers\n          -> change it\n" in captured.out
    assert f"  broken  this check itself failed: {type(error).__name__}: {error}" in captured.out
    assert "  ok      another" in captured.out
    assert captured.out.endswith("1 broken, 1 slow.\n")


def test_an_error_that_was_meant_is_told_as_it_is(
    guests: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Iterable[Finding]:
        raise VoiceError("the lamp is off; switch it on.")

    guests["lamps"] = lamps(fails)
    code, found = findings(capsys, *QUICK)
    assert code == 1
    assert found[-1]["what"] == "the lamp is off; switch it on."


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize(
    ("have", "state", "says"),
    [
        ({"sounddevice": "0.5.3"}, "ok", "extra mic: sounddevice 0.5.3"),
        ({}, "note", "extra mic: sounddevice is not installed"),
    ],
)
def test_an_extra_is_there_with_its_versions_or_a_note(
    have: dict[str, str], state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "sounddevice" and name not in have:
            raise metadata.PackageNotFoundError(name)
        return have.get(name) or "0.1.0"

    fake = SimpleNamespace(
        metadata=metadata.metadata, requires=metadata.requires, version=version,
        PackageNotFoundError=metadata.PackageNotFoundError,
    )  # fmt: skip
    monkeypatch.setattr(doctor, "metadata", fake)
    monkeypatch.setattr(check, "metadata", fake)
    [found] = [each for each in doctor.installed() if each.what.startswith("extra mic")]
    assert (found.state, found.what) == (state, says)
    assert ("pip install 'coda-voice-plugin[mic]'" in found.remedy) is (state == "note")


# The Ollama server


def config_of(url: str, **more: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"external_llm": {"base_url": url}, **more})


@pytest.fixture
async def ollama() -> Any:
    async def answer(_body: dict[str, Any]) -> Any:
        yield "Yes."

    async with OllamaServer(answer).open() as opened:
        yield opened


async def test_an_ollama_server_is_named_with_its_model(ollama: OllamaServer) -> None:
    from asyncio import to_thread

    found = await to_thread(lambda: list(server(config_of(ollama.url), load_plugins())))
    assert [each.state for each in found] == ["ok"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+ answers with \S+", found[0].what)


async def test_a_model_that_is_not_there_is_broken(ollama: OllamaServer) -> None:
    from asyncio import to_thread

    config = config_of(ollama.url, llm="ollama")
    config = config.model_copy(
        update={"external_llm": config.external_llm.model_copy(update={"model": "oracle"})}
    )
    [found] = await to_thread(lambda: list(server(config, load_plugins())))
    assert found.state == "broken"
    assert "oracle" in found.what


@pytest.mark.parametrize(
    ("more", "state", "says"),
    [
        ({"llm": "ollama"}, "broken", "ollama serve"),
        ({"llm": "auto"}, "note", "The embedded mind answers instead."),
        ({"llm": "llamacpp"}, "note", "ollama serve"),
        ({"strategy": "echo"}, "note", "Strategy echo does not need it."),
    ],
)
def test_a_server_that_is_down_matters_where_it_is_needed(
    more: dict[str, str], state: str, says: str
) -> None:
    [found] = server(config_of("http://127.0.0.1:9", **more), load_plugins())
    assert found.state == state
    assert says in found.what


def test_without_an_embedded_mind_a_server_that_is_down_is_broken() -> None:
    config = VoiceConfig.model_validate(
        {"external_llm": {"base_url": "http://127.0.0.1:9", "fallback_enabled": False}}
    )
    [found] = server(config, load_plugins())
    assert found.state == "broken"


# The microphone


@pytest.mark.parametrize(
    ("host", "state"), [("127.0.0.1", "ok"), ("localhost", "ok"), ("0.0.0.0", "note")]
)
def test_a_page_gets_the_microphone_on_its_own_machine_or_over_https(host: str, state: str) -> None:
    [found] = microphone(VoiceConfig.model_validate({"server": {"host": host, "port": 8766}}))
    assert found.state == state
    assert ("https" in found.remedy.lower() and "ssh -L" in found.remedy) is (state == "note")
