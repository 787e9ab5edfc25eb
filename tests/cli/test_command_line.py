"""The terminal door: help, exit codes, one-line errors."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from coda_voice_plugin import GROUP, PluginError, Plugins, hookimpl, plugins
from coda_voice_plugin.cli import check, cli, group, run
from coda_voice_plugin.cli.group import COMMANDS
from coda_voice_plugin.cli.logs import start_logging
from coda_voice_plugin.cli.progress import Bars
from coda_voice_plugin.config import VoiceConfig

WITH_SETTINGS = ("talk", "serve", "check", "plugins", "fetch")
ALL_COMMANDS = [[name] for name in COMMANDS] + [
    ["config", name] for name in ("show", "path", "presets")
]


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Commands set up logging; leave it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("coda_voice_plugin")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE)
    assert "Examples:" in out


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: coda-voice {' '.join(command)} ")
    if command[0] in WITH_SETTINGS:
        for option in ("--config", "--preset", "--set", "--strategy", "--stt", "--tts", "--llm"):
            assert option in out


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "coda_voice_plugin", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"numpy", "pydantic", "torch", "onnxruntime", "aiohttp", "av", "xllamacpp"}
    assert not heavy & imported
    assert "Usage: coda-voice" in done.stdout


def test_the_entry_point_group_is_that_of_the_hooks() -> None:
    assert group.GROUP == GROUP


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert re.match(r"coda-voice \d+\.\d+\.\d+ \(Python 3", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [["dance"], ["check", "--loud"], ["fetch", "qwen-9000b"], ["config", "edit"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["config", "show", "--set", "turn.barge_in_mss=3"], "turn.barge_in_ms"),
        (["config", "show", "--set", "server.port=high"], "server.port"),
        (["config", "show", "--preset", "gpu-on-mars"], "gpu-on-mars"),
        (["config", "show", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["fetch", "--strategy", "telepathy"], "no strategy named 'telepathy'"),
        (["fetch", "--llm", "oracle"], "no llm named 'oracle'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_known_error_is_one_line_and_exit_code_1(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"coda-voice: [^\n]+\n", captured.err)
    assert says in captured.err


def test_several_faults_of_the_settings_are_a_line_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["config", "show", "--set", "llmm=x", "--set", "server.port=-1"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("coda-voice: ") for line in lines)


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.get_command(click.Context(cli), "version"), "callback", broken)
    with pytest.raises(ZeroDivisionError):
        run(["version"])


def test_a_known_error_out_of_a_task_group_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ExceptionGroup("tasks", [ExceptionGroup("inner", errors)])

    monkeypatch.setattr(cli.get_command(click.Context(cli), "version"), "callback", broken)
    errors: list[Exception] = [PluginError("one"), PluginError("two")]
    assert run(["version"]) == 1
    assert capsys.readouterr().err == "coda-voice: one\ncoda-voice: two\n"
    errors.append(ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        run(["version"])


def test_ctrl_c_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.get_command(click.Context(cli), "version"), "callback", interrupted)
    assert run(["version"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`coda-voice config show | true`"""
    talker = subprocess.Popen(
        [sys.executable, "-m", "coda_voice_plugin", "config", "show"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert talker.stdout is not None
    assert talker.stderr is not None
    talker.stdout.close()
    errors = talker.stderr.read()
    talker.stderr.close()
    talker.wait()
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors


# settings


def test_options_become_settings_and_the_last_layer_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "coda.yaml"
    file.write_text("voice:\n  llm: ollama\n  turn:\n    barge_in_ms: 111\n")
    monkeypatch.setenv("CODA_VOICE__TURN__BARGE_IN_MS", "222")
    arguments = ["config", "show", "--config", str(file), "--strategy", "echo"]
    assert run([*arguments, "--set", "turn.confirm_ms=333"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  strategy: echo  # command line", out, re.MULTILINE)
    assert re.search(r"^  llm: ollama  # .*coda.yaml:2$", out, re.MULTILINE)
    assert re.search(r"^    barge_in_ms: 222  # environment", out, re.MULTILINE)
    assert re.search(r"^    confirm_ms: 333  # command line", out, re.MULTILINE)
    assert re.search(r"^    pre_roll_ms: 400  # default$", out, re.MULTILINE)


def test_config_path_names_the_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "path", "--set", f"models.cache_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert f"weights   {tmp_path}" in out
    assert "sessions.db" in out


def test_every_preset_is_listed_and_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "presets"]) == 0
    names = capsys.readouterr().out.split()
    wanted = {"cpu", "moshi-24gb", "hybrid-32gb", "development", "production", "testing"}
    assert wanted <= set(names)
    for name in names:
        assert run(["config", "show", "--preset", name]) == 0
        assert f"# preset {name}" in capsys.readouterr().out


# plugins


def test_plugins_are_listed_by_kind_with_their_package(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plugins"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  \* ollama +coda-voice-plugin \d", out, re.MULTILINE)
    assert re.search(r"^    echo +coda-voice-plugin \d", out, re.MULTILINE)


def test_plugins_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "--json", "--set", "plugins.disabled=[echo]"]) == 0
    found = {each["plugin"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["echo"]["disabled"]
    assert found["hibari"]["registers"] == [["tts", "hibari"]]
    assert found["hibari"]["hooks"] == ["register_tts"]
    assert found["hibari"]["package"].startswith("coda-voice-plugin ")


def install_guest(monkeypatch: pytest.MonkeyPatch, load: Callable[..., Plugins]) -> None:
    """A package of somebody else is installed, and this is how plugins load."""
    entry = EntryPoint("guest", "guest_of_a_test", group.GROUP)
    monkeypatch.setattr(group, "entry_points", lambda group: [entry])
    monkeypatch.setattr(plugins, "load_plugins", load)
    monkeypatch.setattr(cli, "_asked", False, raising=False)
    monkeypatch.setattr(cli, "commands", {})


@pytest.fixture
def guest_with_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guest:
        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            @cli.command()
            def hum() -> None:
                """Hum a tune."""
                click.echo("hmm")

    def load(disabled: object = ()) -> Plugins:
        loaded = Plugins()
        loaded.add(Guest(), "guest")
        return loaded

    install_guest(monkeypatch, load)


@pytest.mark.usefixtures("guest_with_a_command")
def test_a_plugin_adds_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert re.search(r"^  hum +Hum a tune\.$", capsys.readouterr().out, re.MULTILINE)
    assert run(["hum"]) == 0
    assert capsys.readouterr().out == "hmm\n"


def test_a_plugin_cannot_replace_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guest:
        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            cli.add_command(click.Command("serve"))

    loaded = Plugins()
    loaded.add(Guest(), "guest")
    install_guest(monkeypatch, lambda disabled=(): loaded)
    with pytest.raises(PluginError, match=r"'guest' failed in register_commands.*'serve' exists"):
        cli.get_command(click.Context(cli), "hum")


def test_help_is_there_even_when_a_plugin_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(disabled: object = ()) -> Plugins:
        raise PluginError("plugin 'bad' failed to load: ImportError.")

    install_guest(monkeypatch, load)
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert "serve" in out
    assert "Commands of plugins are left out: plugin 'bad'" in " ".join(out.split())


# fetch and check


def test_the_known_weights_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch", "--list", "--set", f"models.cache_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^silero-vad +- +2 MB +MIT", out, re.MULTILINE)


def test_weights_that_cannot_be_had_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = ["--set", "models.offline=true", "--set", f"models.cache_dir={tmp_path}"]
    assert run(["fetch", "silero-vad", *offline]) == 1
    assert "silero-vad" in capsys.readouterr().err


def test_a_bar_is_drawn_once_for_each_percent() -> None:
    class Screen:
        def __init__(self, terminal: bool) -> None:
            self.terminal, self.text = terminal, ""

        def isatty(self) -> bool:
            return self.terminal

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    for terminal, lines in ((True, 101), (False, 11)):
        screen = Screen(terminal)
        bars = Bars(screen)  # type: ignore[arg-type]
        for done in range(0, 1_000_001, 500):
            bars("tiny", done, 1_000_000)
        assert len(re.split(r"[\r\n]+", screen.text.strip())) == lines
    assert screen.text.endswith("fetching tiny: 100 % (1 of 1 MB)\n")


@pytest.mark.real
def test_check_finds_everything_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--set", "server.port=0", "--llm", "llamacpp"]
    small = ["--set", "embedded_llm.model=smollm2-135m"]
    assert run([*arguments, *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert {"settings", "plugins", "strategy", "packages", "weights", "port"} == {
        line.split()[1] for line in lines
    }


@pytest.mark.real
def test_check_can_load_the_engines(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--load", "--json", "--set", "server.port=0", "--llm", "llamacpp"]
    assert run([*arguments, "--set", "embedded_llm.model=smollm2-135m"]) == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert last["ok"]
    assert "smollm2-135m" in last["says"]


def test_check_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--set", f"models.cache_dir={tmp_path}", "--set", f"server.port={port}"]
        assert run(["check", *arguments, "--llm", "llamacpp"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^NO  weights   .*coda-voice fetch silero-vad", out, re.MULTILINE)
    assert re.search(rf"^NO  port      port {port} on 127.0.0.1 is in use", out, re.MULTILINE)


def test_check_names_packages_that_are_missing_or_of_another_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        if name == "av":
            raise metadata.PackageNotFoundError(name)
        return "0.1.5" if name == "moonshine-voice" else metadata.version(name)

    monkeypatch.setattr(check, "metadata", SimpleNamespace(
        requires=metadata.requires, version=version,
        PackageNotFoundError=metadata.PackageNotFoundError))  # fmt: skip
    found = check.packages("cpu")
    assert not found.ok
    assert "av is not installed" in found.says
    assert "moonshine-voice is 0.1.5, not 0.1.0" in found.says
    assert "pip install 'coda-voice-plugin[cpu]'" in found.says


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--set", "audio.vadd=x"], r"NO  settings  .*vadd"),
        (["--strategy", "telepathy"], r"NO  plugins   no strategy named 'telepathy'"),
    ],
)
def test_check_stops_at_what_makes_no_sense(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *arguments]) == 1
    assert re.match(line, capsys.readouterr().out.splitlines()[-1])


# logging


def test_other_libraries_speak_only_from_warnings_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start_logging(VoiceConfig(), verbose=True)
    logging.getLogger("aiohttp").info("chatter")
    logging.getLogger("coda_voice_plugin.session").debug("a turn")
    err = capsys.readouterr().err
    assert "chatter" not in err
    assert "coda_voice_plugin.session: a turn" in err


# serve


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_when_it_is_ready_and_stops_when_told(stop: signal.Signals) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "coda_voice_plugin", "serve", "--strategy", "echo",
         "--set", "server.port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    line = server.stdout.readline()
    server.send_signal(stop)
    _, err = server.communicate(timeout=30)
    assert re.fullmatch(r"Ready: http://127\.0\.0\.1:\d+/\n", line), err
    assert "Traceback" not in err
    assert server.returncode == 0


@pytest.mark.real
def test_ctrl_c_while_models_load_is_no_traceback() -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "coda_voice_plugin", "serve", "--llm", "llamacpp",
         "--set", "embedded_llm.model=smollm2-135m", "--set", "server.port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # a test run in the background ignores SIGINT, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert server.stderr is not None
    assert server.stderr.readline() == "loading ollama ...\n"
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    assert "Ready" not in out
    assert "Traceback" not in err
    assert server.returncode == 130


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--strategy", "echo", "--set", f"server.port={port}"]) == 1
    err = capsys.readouterr().err
    assert f"coda-voice: port {port} on 127.0.0.1 is in use" in err
    assert "Traceback" not in err


def test_a_signal_reads_the_settings_again(tmp_path: Path) -> None:
    file = tmp_path / "coda.yaml"
    file.write_text("voice: {strategy: echo, server: {port: 0}}\n")
    server = subprocess.Popen(
        [sys.executable, "-m", "coda_voice_plugin", "serve", "--config", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        assert server.stdout.readline().startswith("Ready: ")
        file.write_text("voice: {strategy: ollama, server: {port: 0}, turn: {barge_in_ms: 321}}\n")
        server.send_signal(signal.SIGHUP)
        live, restart = islice((line for line in server.stderr if "SIGHUP" in line), 2)
        assert live.endswith("SIGHUP: live: turn.barge_in_ms\n")
        assert restart.endswith("SIGHUP: restart: strategy\n")
        file.write_text("voice: {strategyy: ollama}\n")
        server.send_signal(signal.SIGHUP)
        line = next(line for line in server.stderr if "SIGHUP" in line)
        assert "the settings stay as they were" in line
    finally:
        server.terminate()
        server.communicate(timeout=30)
