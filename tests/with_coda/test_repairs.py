"""How the core is repaired: by name, once, only where it is broken, and not for ever."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from coda_voice_hooks import repairs
from coda_voice_hooks.repairs.base import Patches, Repair, plain, write_json

from coda_voice_plugin import ConfigError

CORE = sorted({each.module for each in repairs.REPAIRS})


def everything_of(module: ModuleType) -> dict[tuple[str, str], Any]:
    """Every attribute of every class of a module."""
    return {
        (cls.__name__, name): value
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == module.__name__
        for name, value in vars(cls).items()
        # made by the interpreter when they are asked for
        if name not in ("__abstractmethods__", "_abc_impl")
    }


def test_every_repair_is_needed_and_made() -> None:
    assert {each.name: each.state for each in repairs.repair()} == {
        each.name: "applied" for each in repairs.REPAIRS
    }


def test_names_are_kebab_case_and_differ() -> None:
    names = [each.name for each in repairs.REPAIRS] + list(repairs.IMPORTS)
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in names)


def test_every_defect_is_one_sentence() -> None:
    for defect in [each.defect for each in repairs.REPAIRS] + list(repairs.IMPORTS.values()):
        assert defect[0].isupper()
        assert defect.endswith(".")


@pytest.mark.parametrize("name", CORE)
def test_undoing_restores_the_core(name: str) -> None:
    module = importlib.import_module(name)
    before = everything_of(module)
    repairs.repair()
    assert everything_of(module) != before
    repairs.undo_all()
    assert everything_of(module) == before


def test_a_second_repair_changes_nothing() -> None:
    first = repairs.repair()
    before = {name: everything_of(sys.modules[name]) for name in CORE}
    assert repairs.repair() == first
    assert {name: everything_of(sys.modules[name]) for name in CORE} == before


def test_an_inspection_changes_nothing() -> None:
    before = {name: everything_of(importlib.import_module(name)) for name in CORE}
    assert {each.state for each in repairs.inspect_core()} == {"needed"}
    assert {name: everything_of(sys.modules[name]) for name in CORE} == before


def test_an_inspection_tells_what_was_made() -> None:
    repairs.repair(off=["websocket-has-no-broadcast"])
    told = {each.name: each.state for each in repairs.inspect_core()}
    assert told.pop("websocket-has-no-broadcast") == "needed"
    assert set(told.values()) == {"applied"}


def test_repairs_can_be_switched_off_together() -> None:
    repairs.repair()
    assert {each.state for each in repairs.repair(enabled=False)} == {"off"}
    assert {each.state for each in repairs.inspect_core()} == {"needed"}


def test_a_repair_that_was_made_can_be_switched_off() -> None:
    repairs.repair()
    told = {each.name: each.state for each in repairs.repair(off=["websocket-has-no-broadcast"])}
    assert told.pop("websocket-has-no-broadcast") == "off"
    assert set(told.values()) == {"applied"}
    assert not hasattr(
        sys.modules["coda.interfaces.websocket.server"].CodaWebSocketServer, "broadcast"
    )


def test_an_unknown_repair_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'websocket-has-no-broadcast'"):
        repairs.repair(off=["websocket-has-no-brodcast"])


def test_repairs_that_are_made_elsewhere_may_be_named() -> None:
    repairs.check_names(["page-needs-the-net", *repairs.IMPORTS], also=["page-needs-the-net"])


def test_a_look_takes_no_time() -> None:
    for each in repairs.REPAIRS:
        module = importlib.import_module(each.module)
        tries = []
        for _ in range(5):
            begun = time.process_time()
            each.detect(module)
            tries.append(time.process_time() - begun)
        assert min(tries) < 0.005, each.name


def test_a_look_says_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    repairs.inspect_core()
    assert caplog.messages == []


def one(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """The outcome of a single repair that is like the first, but for the changes."""
    first = repairs.REPAIRS[0]
    fields = {name: getattr(first, name) for name in Repair.__slots__} | {"name": "trial"} | changes
    monkeypatch.setattr(repairs, "REPAIRS", (Repair(**fields),))
    (outcome,) = repairs.repair()
    return outcome


def test_a_module_that_the_core_has_not_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = one(monkeypatch, module="coda.components.telepathy.manager")
    assert outcome.state == "absent"
    assert "telepathy" in outcome.detail


def test_a_module_that_cannot_be_imported_is_no_absent_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_a_core.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    outcome = one(monkeypatch, module="half_a_core")
    assert outcome.state == "failed"
    assert "nothing_of_that_name" in outcome.detail


def test_a_version_that_cannot_be_tried_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def detect(_module: ModuleType) -> bool:
        raise AttributeError("no such thing")

    outcome = one(monkeypatch, detect=detect)
    assert (outcome.state, outcome.detail) == ("failed", "AttributeError: no such thing")


def test_a_repair_that_fails_leaves_no_half_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def mend(module: ModuleType, patches: Patches) -> None:
        patches.set(module.CodaWebSocketServer, "stop", None)
        raise RuntimeError("in the middle")

    outcome = one(monkeypatch, detect=lambda _module: True, mend=mend)
    assert (outcome.state, outcome.detail) == ("failed", "RuntimeError: in the middle")
    assert sys.modules[repairs.REPAIRS[0].module].CodaWebSocketServer.stop is not None


def test_what_was_inherited_is_inherited_again() -> None:
    class Parent:
        def speak(self) -> str:
            return "parent"

    class Child(Parent):
        pass

    patches = Patches()
    patches.set(Child, "speak", lambda _self: "first")
    patches.set(Child, "speak", lambda _self: "second")
    assert Child().speak() == "second"
    patches.undo()
    assert "speak" not in vars(Child)
    assert Child().speak() == "parent"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    write_json(file, {"words": "grün"})
    with pytest.raises(TypeError):
        write_json(file, {"words": object()})
    assert json.loads(file.read_text(encoding="utf-8")) == {"words": "grün"}
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_survives_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.json"
    write_json(file, {"words": "old"})
    write = Path.write_text

    def half(self: Path, text: str, **more: Any) -> int:
        write(self, text[:5], **more)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        write_json(file, {"words": "new"})
    assert json.loads(file.read_text()) == {"words": "old"}
    assert list(tmp_path.iterdir()) == [file]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="is no file"):
        write_json(tmp_path / "folder", {})


def test_bytes_become_whether_there_are_any() -> None:
    told = plain({"sound": b"\0", "none": b"", "deep": [{"more": (b"x", None, 1.5)}]})
    assert told == {"sound": True, "none": False, "deep": [{"more": [True, None, 1.5]}]}
    assert plain(SimpleNamespace(a=1)) == "namespace(a=1)"
