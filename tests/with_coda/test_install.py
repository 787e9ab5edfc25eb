"""`coda-voice coda install`: one line in a Python's site-packages, and what it does there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from coda_voice_hooks import installing
from coda_voice_hooks.core import CodaError, find_core
from coda_voice_hooks.installing import Interpreter, install, installed, uninstall
from core import Core, write_config

from coda_voice_plugin.cli import run

ROOT = Path(__file__).parents[2]
OURS = [str(ROOT), str(ROOT / "hooks")]


class Environment:
    """A virtual environment that can import what this one can."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        [self.packages] = folder.glob("lib/python3*/site-packages")
        self.file = self.packages / installing.FILE
        self.see([*OURS, sysconfig.get_path("purelib")])

    def see(self, paths: list[str]) -> None:
        """Let it import from these folders."""
        (self.packages / "_paths.pth").write_text("\n".join(paths) + "\n")

    def run(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [self.python, "-c", code], capture_output=True, text=True, timeout=120, check=False,
            env=kept | {"HF_HUB_OFFLINE": "1"} | variables,
        )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("environment") / "python")


@pytest.fixture
def environment(made: Environment) -> Environment:
    made.see([*OURS, sysconfig.get_path("purelib")])
    made.file.unlink(missing_ok=True)
    return made


def test_install_writes_one_file_and_uninstall_removes_it(environment: Environment) -> None:
    before = sorted(environment.packages.iterdir())
    assert installed(environment.python) is None
    told = install(environment.python)
    assert told.startswith(f"{environment.file} is written")
    assert "CODA_VOICE_OFF=1" in told
    assert sorted(environment.packages.iterdir()) == sorted([*before, environment.file])
    assert installed(environment.python) == environment.file
    assert uninstall(environment.python).startswith(f"{environment.file} is removed")
    assert sorted(environment.packages.iterdir()) == before


def test_twice_is_once(environment: Environment) -> None:
    install(environment.python)
    text = environment.file.read_text()
    assert install(environment.python).endswith("is there already; nothing was changed.")
    assert environment.file.read_text() == text
    uninstall(environment.python)
    assert uninstall(environment.python).endswith("is not there; nothing was changed.")


def test_the_commands_say_what_they_did(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    python = ["--python", str(environment.python)]
    assert run(["coda", "install", *python]) == 0
    assert f"{environment.file} is written" in capsys.readouterr().out
    assert run(["coda", "uninstall", *python]) == 0
    assert f"{environment.file} is removed" in capsys.readouterr().out


def test_a_python_without_the_voice_is_refused(environment: Environment) -> None:
    environment.see([])
    with pytest.raises(CodaError, match=r"cannot import the voice; run `.*pip install coda-voice"):
        install(environment.python)
    assert not environment.file.exists()


@pytest.mark.parametrize("python", ["/bin/true", "/nowhere/python"])
def test_what_is_no_python_is_refused(python: str) -> None:
    with pytest.raises(CodaError, match=f"{python} does not answer as a Python does"):
        install(Path(python))


def test_a_folder_that_cannot_be_written_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = Interpreter(Path(sys.executable), Path("/proc"), voice=True, core=True)
    monkeypatch.setattr(installing, "interpreter", lambda python: sealed)
    with pytest.raises(CodaError, match=r"cannot write to /proc: .*virtual environment.*--python"):
        install()


def test_a_file_of_somebody_else_is_left_alone(environment: Environment) -> None:
    environment.file.write_text("import os\n")
    for change in (install, uninstall):
        with pytest.raises(CodaError, match="was not written by coda-voice"):
            change(environment.python)
    assert environment.file.read_text() == "import os\n"


def test_a_start_of_python_imports_next_to_nothing(environment: Environment) -> None:
    show = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    before = set(json.loads(environment.run(show).stdout))
    install(environment.python)
    more = set(json.loads(environment.run(show).stdout)) - before
    assert "coda_voice_hooks._arrival" in more
    heavy = {"coda", "coda_voice_plugin", "numpy", "pydantic", "pluggy", "asyncio", "pathlib", "re"}
    assert not heavy & more


def test_the_switch_turns_it_off_for_one_run(environment: Environment) -> None:
    install(environment.python)
    ask = "from coda_voice_hooks import _arrival; print(_arrival.waiting())"
    assert environment.run(ask).stdout == "True\n"
    assert environment.run(ask, CODA_VOICE_OFF="1").stdout == "False\n"


def test_a_package_that_is_gone_is_one_line_and_no_harm(environment: Environment) -> None:
    install(environment.python)
    environment.see([])
    done = environment.run("print('up')")
    assert (done.returncode, done.stdout) == (0, "up\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("coda-voice: ModuleNotFoundError: No module named 'coda_voice_hooks'")
    assert (
        f"delete coda_voice.pth from the site-packages of {environment.python.parents[1]}" in line
    )


ASSISTANT = """
import asyncio, sys
from pathlib import Path
import coda.core.config
async def main():
    from coda.core.assistant import CodaAssistant
    config = coda.core.config.load_config({file})
    assistant = CodaAssistant(config)
    voice = getattr(assistant, "coda_voice", None)
    print(voice and (str(voice.chosen.path), voice.chosen.config.strategy))
asyncio.run(main())
"""


def test_an_assistant_is_made_with_a_voice_and_the_settings_of_its_file(
    environment: Environment, core: Core, tmp_path: Path
) -> None:
    file = write_config(tmp_path, voice={"mode": "traditional", "language": "de"})
    told = install(environment.python, find_core(core.source))
    assert "can be imported there" in told
    code = ASSISTANT.format(file=f"Path({str(file)!r})")
    done = environment.run(code)
    assert done.stdout.splitlines()[-1:] == [f"({str(file)!r}, 'ollama')"], done.stderr
    assert environment.run(code, CODA_VOICE_OFF="1").stdout.splitlines()[-1] == "None"


def test_faulty_settings_stop_the_assistant_and_say_how_to_go_on(
    environment: Environment, core: Core, tmp_path: Path
) -> None:
    file = write_config(tmp_path, voice={"strategyy": "echo"})
    install(environment.python, find_core(core.source))
    done = environment.run(ASSISTANT.format(file=f"Path({str(file)!r})"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "voice.strategyy is not a setting" in last
    assert "CODA_VOICE_OFF=1" in last


def test_another_package_of_the_name_is_left_alone(
    environment: Environment, tmp_path: Path
) -> None:
    install(environment.python)
    (tmp_path / "coda.py").write_text("A = 4\n")
    done = environment.run(
        "import coda; from coda_voice_hooks import _arrival; print(coda.A, _arrival.waiting())",
        PYTHONPATH=str(tmp_path),
    )
    assert done.stdout == "4 False\n", done.stderr


def test_where_the_core_is_not_importable_the_message_says_how(environment: Environment) -> None:
    assert "install again with --coda PATH" in install(environment.python)
