"""`coda-voice coda run` and `status`, and Coda's part of the doctor."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks import checks, starting
from coda_voice_hooks import core as cores
from coda_voice_hooks.checks import coda_checks, embedding_model, voice_section
from coda_voice_hooks.choosing import read_voice
from coda_voice_hooks.core import CodaError, find_core, import_core, why_not
from coda_voice_hooks.looking import look
from coda_voice_hooks.repairs import REPAIRS
from coda_voice_hooks.starting import Wish, doors, explained, read_core_config
from core import Core, free_port, write_config

from coda_voice_plugin import ConfigError, Finding, VoiceConfig
from coda_voice_plugin.cli import run as command_line


def echo_file(folder: Path, **sections: Any) -> Path:
    """Coda's file with a voice that needs no models, and no door of its own."""
    file = write_config(folder, **sections)
    text = re.sub(r"(?m)^voice:\n(?:  .*\n)+", "", file.read_text())
    door = "  plugins: {settings: {coda: {door: false}}}\n"
    file.write_text(f"voice:\n  strategy: echo\n{door}{text}")
    return file


# Where the core is


def checkout_in(folder: Path, assistant: str = "") -> Path:
    """A checkout whose core is this one file."""
    inside = folder / "src" / "coda" / "core"
    inside.mkdir(parents=True)
    (folder / "src" / "coda" / "__init__.py").write_text('__version__ = "9.1"\n')
    (inside / "__init__.py").write_text("")
    (inside / "config.py").write_text("")
    (inside / "assistant.py").write_text(assistant)
    return folder


@pytest.mark.parametrize("inside", ["", "src"])
def test_a_core_is_found_by_its_checkout_or_its_source(tmp_path: Path, inside: str) -> None:
    found = find_core(checkout_in(tmp_path / "Coda") / inside)
    assert found is not None
    assert found.source == tmp_path / "Coda" / "src"
    assert (found.version, found.commit) == ("9.1", None)


def test_a_checkout_tells_its_commit(tmp_path: Path) -> None:
    folder = checkout_in(tmp_path / "Coda")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    found = find_core(folder)
    assert found is not None
    assert re.fullmatch(r"[0-9a-f]{40}", found.commit or "")
    assert str(found).endswith(f"commit {(found.commit or '')[:7]}")


def test_a_core_is_found_where_it_can_be_imported(core: Core) -> None:
    found = find_core()
    assert found is not None
    assert found.source == core.source


def test_a_folder_without_a_core_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodaError, match=r"holds no Coda: src/coda/core/assistant\.py"):
        find_core(tmp_path)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("no", name="yaml"), r"'pyyaml' is missing; run `\S+ -m pip install "),
        (ModuleNotFoundError("no", name="coda.core"), r"this version has no coda\.core"),
        (OSError("Could not load _torchaudio.abi3.so"), "torchaudio was built for another torch"),
        (ValueError("a\n b"), "ValueError: a b"),
    ],
)
def test_what_stops_an_import_is_told_with_the_command_that_mends_it(
    error: Exception, says: str
) -> None:
    assert re.search(says, why_not(error))


# The voice's settings in Coda's file


def test_a_file_without_a_section_takes_the_defaults_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "coda.yaml"
    file.write_text("memory: {}\n")
    read = read_voice(file, ("language=de",))
    assert read.config.language == "de"
    assert read.path == file
    assert read.notes == (f"{file} has no voice: section; the voice uses its defaults.",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vocie: {}\n", "Is vocie: meant"),
        ("voice: {strategyy: echo}\n", "voice.strategyy is not a setting"),
        ("voice: {stt: {engine: whisper}}\n", "older section"),
        ("voice: [\n", "not valid YAML"),
    ],
)
def test_a_damaged_section_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "coda.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_voice(file)
    [found] = voice_section(file)
    assert found.state == "broken"
    assert found.what.startswith("old settings: ") is (says == "older section")


def test_a_section_is_understood_absent_or_has_notes(tmp_path: Path) -> None:
    file = tmp_path / "coda.yaml"
    file.write_text("voice: {mode: hybrid}\n")
    assert [each.state for each in voice_section(file)] == ["ok"]
    file.write_text("voice: {fallback_tts_model: xtts_v2}\n")
    assert [each.state for each in voice_section(file)] == ["ok", "note"]
    file.write_text("llm: {}\n")
    [found] = voice_section(file)
    assert found.state == "note"
    assert "`  strategy: ollama`" in found.remedy


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"dashboard": {"port": "many"}}, r"coda\.yaml: dashboard\.port: "),
        ({"memory": [1]}, r"coda\.yaml: memory: |Coda does not understand its sections"),
    ],
)
def test_what_the_core_does_not_understand_is_a_line(
    tmp_path: Path, sections: dict[str, Any], says: str
) -> None:
    with pytest.raises(CodaError, match=says) as caught:
        read_core_config(write_config(tmp_path, **sections))
    assert "\n" not in str(caught.value)


# The ports


def test_the_doors_are_those_that_are_asked_for(tmp_path: Path) -> None:
    file = write_config(tmp_path, dashboard={"port": 7001}, websocket={"port": 7002})
    config = read_core_config(file)
    assert [door.port for door in doors(Wish(file), config)] == [7001]
    assert [door.port for door in doors(Wish(file, dashboard=True, port=7005), config)] == [
        7001, 7005, 7006,
    ]  # fmt: skip
    config.websocket.enabled = True
    assert [door.port for door in doors(Wish(file), config)] == [7001, 7002]


def test_two_doors_at_one_port_are_refused(tmp_path: Path) -> None:
    file = write_config(tmp_path, dashboard={"port": 7006})
    with pytest.raises(CodaError, match=r"both want port 7006; choose another with --port or dash"):
        list(doors(Wish(file, dashboard=True, port=7005), read_core_config(file)))


def test_a_door_that_is_taken_is_told_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = write_config(tmp_path, dashboard={"port": taken.getsockname()[1]})
        [door] = doors(Wish(file), read_core_config(file))
        with pytest.raises(CodaError, match=r"in use; .*choose another with dashboard\.port in"):
            door.check()


def test_a_hub_that_is_not_reached_has_a_remedy() -> None:
    told = explained(OSError("We couldn't connect to 'https://huggingface.co' to load\nthe files."))
    assert "\n" not in told
    assert told.endswith("or let Coda fetch it once with a connection.")


# Running


@contextmanager
def coda_run(file: Path, core: Core, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "coda_voice_plugin", "coda", "run", "-c", str(file), "--coda",
         str(core.source), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=file.parent,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    """What is printed up to and with "Ready"."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("Ready"):
            return lines
    pytest.fail(f"it did not become ready: {lines} {process.communicate()[1]}")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_run_tells_where_coda_is_and_stops_when_told(
    tmp_path: Path, core: Core, stop: signal.Signals
) -> None:
    file = echo_file(tmp_path, websocket={"enabled": True})
    config = read_core_config(file)
    with coda_run(file, core) as process:
        lines = until_ready(process)
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert f"Dashboard: http://127.0.0.1:{config.dashboard.port}" in lines
    assert f"WebSocket: ws://127.0.0.1:{config.websocket.port}" in lines
    assert any(line.startswith("voice joined to: memory") for line in lines)
    assert not any("does not speak" in line for line in lines)
    assert out == "stopping ...\n"
    assert "Traceback" not in err
    assert "Aborted" not in out + err
    assert process.returncode == 0


@pytest.mark.coda
def test_the_cores_own_dashboard_servers_are_started_and_stopped(
    tmp_path: Path, core: Core
) -> None:
    port = free_port()
    with coda_run(echo_file(tmp_path), core, "--dashboard", "--host", "127.0.0.1", "--port",
                  str(port)) as process:  # fmt: skip
        lines = until_ready(process)
        for each in (port, port + 1):
            socket.create_connection(("127.0.0.1", each), 5).close()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert f"WebSocket: ws://127.0.0.1:{port}, page: http://127.0.0.1:{port + 1}" in lines
    assert "Traceback" not in err
    assert process.returncode == 0


async def test_a_core_without_a_dashboard_starter_is_told(
    tmp_path: Path, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare:
        pass

    monkeypatch.setitem(sys.modules, "coda.cli", Bare())  # type: ignore[arg-type]
    with pytest.raises(CodaError, match=r"has no --dashboard; .*websocket\.enabled: true"):
        await starting._begin(Wish(tmp_path, dashboard=True), None)


async def test_the_cores_own_error_is_told_in_a_line() -> None:
    class Assistant:
        async def initialize(self) -> None:
            raise RuntimeError("no\nroom")

    with pytest.raises(CodaError, match="Coda did not start: RuntimeError: no room"):
        await starting._begin(Wish(Path()), Assistant())


async def test_everything_is_stopped_and_what_fails_is_told() -> None:
    stopped: list[str] = []

    class Server:
        async def stop(self) -> None:
            stopped.append("server")

    class Assistant:
        _dashboard_servers = (Server(), Server())

        async def shutdown(self) -> None:
            stopped.append("assistant")
            raise RuntimeError("stuck")

    with pytest.raises(CodaError, match="did not stop cleanly: RuntimeError: stuck"):
        await starting._stop(Assistant())
    assert stopped == ["server", "server", "assistant"]


async def test_a_coda_that_does_not_stop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Assistant:
        async def shutdown(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(starting, "SHUTDOWN_S", 0.01)
    with pytest.raises(CodaError, match="did not stop within"):
        await starting._stop(Assistant())


STARTING = """
import asyncio
from coda_voice_hooks.starting import _until_told
async def main():
    try:
        async with _until_told():
            print("starting", flush=True)
            await asyncio.sleep({start})
    finally:
        print("stopping", flush=True)
        await asyncio.sleep({stop})
asyncio.run(main())
"""


@contextmanager
def script(start: float, stop: float) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTING.format(start=start, stop=stop)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "starting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def test_a_signal_while_it_starts_stops_it() -> None:
    with script(start=60, stop=0) as process:
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(second: signal.Signals) -> None:
    with script(start=0, stop=60) as process:
        process.send_signal(second)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-second, "")


@pytest.mark.parametrize("shown", [False, True])
def test_a_start_that_fails_is_lines_and_a_traceback_only_when_asked(
    tmp_path: Path, core: Core, shown: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    file = echo_file(tmp_path, dashboard={"port": "many"})
    options = ["--traceback"] if shown else []
    done = subprocess.run(
        [sys.executable, "-m", "coda_voice_plugin", "coda", "run", "-c", str(file), "--coda",
         str(core.source), *options],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is shown
    assert done.stderr.splitlines()[-1].startswith(f"coda-voice: {file}: dashboard.port: ")


def test_a_file_that_is_not_there_is_a_wrong_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command_line(["coda", "run", "-c", "nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


# The doctor's part


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core is not imported to look at it."""
    monkeypatch.setattr("coda_voice_hooks.looking.look", lambda core, off: [])


def test_without_any_coda_there_is_one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "find_spec", lambda name: None)
    [found] = coda_checks()
    assert found.state == "note"
    assert "coda-voice coda status --coda PATH" in found.remedy


def test_every_repair_is_told_with_its_name_and_its_defect(core: Core) -> None:
    found = list(coda_checks(VoiceConfig(), checkout=core.source))
    for each in REPAIRS:
        [line] = [finding.what for finding in found if f"repair {each.name}" in finding.what]
        assert each.defect in line or "not needed" in line or " in this Coda" in line
    assert found[-1].remedy == "voice.plugins.settings.coda.repairs_off: [its name]"
    assert not [finding for finding in found if finding.state == "broken"]


def test_a_repair_that_is_off_is_a_note_and_an_unknown_one_is_broken(core: Core) -> None:
    name = REPAIRS[0].name

    def told(*off: str) -> list[Finding]:
        section = {"plugins": {"settings": {"coda": {"repairs_off": off}}}}
        config = VoiceConfig.model_validate(section)
        return list(coda_checks(config, checkout=core.source))

    [off] = [each for each in told(name) if name in each.what]
    assert (off.state, off.what.startswith(f"repair {name} is switched off")) == ("note", True)
    broken = [each.what for each in told(f"{name}x") if each.state == "broken"]
    assert len(broken) == 1
    assert f"Did you mean '{name}'" in broken[0]


def test_looking_at_a_core_leaves_no_trace(core: Core, tmp_path: Path) -> None:
    found = find_core(core.source)
    assert found is not None
    before = set(sys.modules)
    assert look(found)
    assert set(sys.modules) == before
    assert list(tmp_path.iterdir()) == []


def test_a_core_that_cannot_be_imported_is_broken_with_the_remedy(tmp_path: Path) -> None:
    checkout = checkout_in(tmp_path / "Coda", "import a_package_that_nobody_has")
    [found] = [each for each in coda_checks(checkout=checkout) if each.state == "broken"]
    assert "'a_package_that_nobody_has' is missing; run `" in found.what


def test_a_core_that_ends_its_process_is_a_finding(tmp_path: Path) -> None:
    checkout = checkout_in(tmp_path / "Coda", "import os; os._exit(7)")
    [found] = [each for each in coda_checks(checkout=checkout) if each.state == "broken"]
    assert "ended with 7" in found.what


def test_a_core_that_raises_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_core(checkout_in(tmp_path / "Coda"))
    assert found is not None

    def broken(name: str) -> None:
        raise SystemExit("no GPU")

    monkeypatch.setattr(cores, "import_module", broken)
    monkeypatch.setattr(sys, "path", sys.path[:])
    with pytest.raises(CodaError, match=r"Coda 9\.1 at .* cannot be imported: SystemExit: no GPU"):
        import_core(found)


@pytest.mark.parametrize(
    ("model", "files", "state"),
    [
        ("here", ["here/modules.json"], "ok"),
        ("here", ["here/readme"], "broken"),
        ("./gone", [], "broken"),
        ("some-model", ["hub/models--sentence-transformers--some-model/snapshots/a/modules.json"],
         "ok"),
        ("own/model", ["hub/models--own--model/snapshots/a/modules.json"], "ok"),
        ("some-model", [], "note"),
    ],
)  # fmt: skip
def test_the_embedding_model_is_there_or_may_be_fetched(
    model: str, files: list[str], state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    file = tmp_path / "coda.yaml"
    file.write_text(f"memory: {{long_term: {{embedding_model: {model}}}}}\n")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    [found] = embedding_model(file)
    assert found.state == state
    if state == "note":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        [found] = embedding_model(file)
        assert found.state == "broken"


def test_a_file_that_names_no_embedding_model_means_the_cores_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    file = tmp_path / "coda.yaml"
    file.write_text("memory:\n")
    [found] = embedding_model(file)
    assert checks.EMBEDDINGS in found.what
    file.write_text("memory: [\n")
    assert list(embedding_model(file)) == []


@pytest.mark.usefixtures("unseen")
def test_status_tells_it_all_and_its_exit_code(
    tmp_path: Path, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--coda", str(core.source)]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").touch()
    model = {"long_term": {"embedding_model": str(tmp_path / "model")}}
    file = echo_file(tmp_path, memory=model)
    assert command_line(["coda", "status", "-c", str(file), *here]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"^ok      Coda 2\.0\.0-alpha at {core.source}", out, re.MULTILINE)
    assert "the voice: section" in out
    assert "coda-voice coda install" in out
    file.write_text("voice: {strategyy: echo}\n")
    assert command_line(["coda", "status", "-c", str(file), *here]) == 1
    assert "broken  voice.strategyy is not a setting" in capsys.readouterr().out


@pytest.mark.usefixtures("unseen")
def test_the_doctor_looks_at_coda(
    tmp_path: Path, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    file = echo_file(tmp_path)
    command_line(["doctor", "-c", str(file), "--set", "server.port=0"])
    part = capsys.readouterr().out.split("\nCoda\n")[1]
    assert f"ok      Coda 2.0.0-alpha at {core.source}" in part
    assert f"the voice: section of {file} is understood" in part
