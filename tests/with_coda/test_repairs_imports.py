"""What the core imports: a torchaudio that cannot be loaded, an aiofiles that is not there."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from coda_voice_hooks.repairs import IMPORTS

ROOT = Path(__file__).parents[2]
BROKEN = "torchaudio-cannot-be-loaded"
KINDS = {
    "missing": None,
    "built for another torch": "from . import _half\nraise OSError('libtorch_cuda.so: not found')",
    "without torch": "raise ImportError('no torch')",
}


def run(code: str, packages: Path) -> str:
    """The output of a new interpreter in which only our packages and these can be found."""
    begin = f"""
        import sys
        sys.path[:] = [each for each in sys.path if "site-packages" not in each]
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "hooks")!r}, {str(packages)!r}]
        from coda_voice_hooks.repairs.imports import *
    """
    script = textwrap.dedent(begin) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def torchaudio_in(folder: Path, source: str | None) -> Path:
    if source is not None:
        package = folder / "torchaudio"
        package.mkdir()
        (package / "__init__.py").write_text(source)
        (package / "_half.py").write_text("")
        (package / "transforms.py").write_text("from . import _half\nResample = 'the real one'")
    return folder


CORE_S_WAY = """
    try:
        import torchaudio
        import torchaudio.transforms as T
        print("imported", sorted(each for each in sys.modules if "_half" in each))
        torchaudio.functional.resample
    except (ImportError, OSError, AttributeError) as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cured", [False, True], ids=["without", "with"])
def test_the_core_can_be_imported_without_a_torchaudio_that_works(
    tmp_path: Path, kind: str, cured: bool
) -> None:
    off = [] if cured else [BROKEN]
    told = run(
        f"print(prepare_imports({off})[0].state)" + textwrap.dedent(CORE_S_WAY),
        torchaudio_in(tmp_path, KINDS[kind]),
    ).splitlines()
    assert told[0] == ("applied" if cured else "off")
    assert ("imported []" in told) is cured
    if cured:
        assert told[-1].startswith("AttributeError torchaudio.functional is asked for")
        assert "install the one that matches your torch" in told[-1]


def test_a_torchaudio_that_works_is_the_real_one(tmp_path: Path) -> None:
    packages = torchaudio_in(tmp_path, "from . import _half\nword = 'real'")
    told = run(
        """
        prepare_imports()
        import torchaudio, torchaudio.transforms
        from importlib.util import find_spec
        print(torchaudio.word, torchaudio.transforms.Resample, torchaudio.__file__[-11:])
        print(find_spec("torchaudio").origin == torchaudio.__file__)
        print([each.state for each in prepare_imports()])
        print([each.state for each in inspect_imports()])
        """,
        packages,
    )
    assert told.splitlines() == [
        "real the real one __init__.py",
        "True",
        "['not needed', 'failed']",
        "['not needed', 'needed']",
    ]


def test_a_stand_in_has_a_spec_as_a_package_has(tmp_path: Path) -> None:
    told = run(
        """
        prepare_imports()
        from importlib.util import find_spec
        print(find_spec("torchaudio").name)
        import torchaudio.functional
        print(torchaudio.__spec__.name, torchaudio.functional.__spec__.name)
        print(hasattr(torchaudio, "__version__"), inspect_imports()[0].state)
        """,
        tmp_path,
    )
    assert told.splitlines() == [
        "torchaudio",
        "torchaudio torchaudio.functional",
        "False applied",
    ]


def test_a_missing_aiofiles_is_named_with_its_remedy(tmp_path: Path) -> None:
    told = run(
        """
        print(prepare_imports()[1].detail)
        try:
            import aiofiles
        except ImportError as error:
            print(error, error.name)
        """,
        tmp_path,
    ).splitlines()
    assert told[0] == "run `pip install aiofiles`."
    assert "run `pip install aiofiles`. aiofiles" in told[1]


def test_an_installed_aiofiles_is_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "aiofiles.py").write_text("word = 'real'")
    told = run("print(prepare_imports()[1].state)\nimport aiofiles\nprint(aiofiles.word)", tmp_path)
    assert told.splitlines() == ["not needed", "real"]


def test_the_way_of_imports_can_be_restored(tmp_path: Path) -> None:
    told = run(
        """
        before = list(sys.meta_path)
        prepare_imports(); prepare_imports()
        print(len(sys.meta_path) - len(before))
        allow_imports()
        print(sys.meta_path == before)
        """,
        tmp_path,
    )
    assert told.splitlines() == ["1", "True"]


def test_preparing_imports_nothing(tmp_path: Path) -> None:
    packages = torchaudio_in(tmp_path, "raise SystemExit('imported')")
    told = run(
        """
        before = set(sys.modules)
        prepare_imports()
        print(set(sys.modules) - before)
        """,
        packages,
    )
    assert told.splitlines() == ["set()"]


@pytest.mark.coda
def test_the_real_core_can_be_imported_in_spite_of_torchaudio(tmp_path: Path) -> None:
    import coda

    packages = torchaudio_in(tmp_path, KINDS["built for another torch"])
    code = f"""
        import sys
        sys.path[:0] = [{str(packages)!r}, {str(Path(coda.__file__).parents[1])!r}]
        from coda_voice_hooks.repairs import prepare_imports
        if sys.argv[1] == "with":
            prepare_imports()
        from coda.core.assistant import CodaAssistant
        print(CodaAssistant.__name__)
    """
    told = {
        how: subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), how],
            capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
        )
        for how in ("without", "with")
    }  # fmt: skip
    assert "libtorch_cuda.so" in told["without"].stderr
    assert told["with"].stdout == "CodaAssistant\n"


def test_every_import_has_a_sentence() -> None:
    assert set(IMPORTS) == {BROKEN, "aiofiles-is-missing"}
