"""The examples of docs/testing.md, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
EXAMPLES = re.findall(r"<!-- tested:[^>]*-->\n```python\n(.*?)```", GUIDE, re.DOTALL)
MODES = ("strict", "auto")


@pytest.mark.parametrize("mode", MODES)
def test_the_examples_of_the_guide_pass(mode: str, tmp_path: Path) -> None:
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"test_example{number}.py").write_text(example)
    options = ["asyncio_default_fixture_loop_scope=function", f"asyncio_mode={mode}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
        + [word for option in options for word in ("-o", option)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(EXAMPLES) == 2
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20


def test_the_guide_names_every_suite() -> None:
    from coda_voice_plugin import testing

    for name in testing.__all__:
        if name.endswith("Contract"):
            assert f"`{name}`" in GUIDE


def test_only_the_suites_need_pytest() -> None:
    code = (
        "import sys; from coda_voice_plugin.testing import World, Listener, User, run_virtual, "
        "ScriptedSTT; print('pytest' in sys.modules); "
        "from coda_voice_plugin.testing import StrategyContract; print('pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    from coda_voice_plugin import testing

    assert not hasattr(testing, "Nothing")
    assert set(testing.__all__) <= set(dir(testing))
