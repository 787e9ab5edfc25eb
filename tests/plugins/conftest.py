"""Plugins as their authors would install them: a module behind an entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

from coda_voice_plugin import GROUP, plugins

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(name, source)`` puts a module on the path and its entry point beside ours."""
    monkeypatch.syspath_prepend(tmp_path)
    installed: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: installed)

    def put(name: str, source: str, module: str | None = None) -> None:
        module = module or f"guest_{name.replace('-', '_')}_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(dedent(source))
        installed.append(EntryPoint(name, module, GROUP))

    return put
