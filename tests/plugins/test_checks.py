"""What plugins offer to the doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from coda_voice_plugin import Finding, PluginError, Plugins, VoiceConfig, hookimpl


def offered(*guests: object) -> list[tuple[str, Callable[[], Iterable[Finding]]]]:
    plugins = Plugins()
    for number, guest in enumerate(guests):
        plugins.add(guest, f"guest{number}")
    plugins.collect()
    return list(plugins.checks(config=VoiceConfig(), file=Path("coda.yaml")))


def test_hook_register_checks() -> None:
    class Guest:
        @hookimpl
        def register_checks(
            self, register: Callable[..., None], config: VoiceConfig, file: Path
        ) -> None:
            register("Lamps", lambda: [Finding("ok", f"{config.strategy} {file}")])
            register("Doors", lambda: [])

    (title, check), (other, empty) = offered(Guest())
    assert (title, other) == ("Lamps", "Doors")
    assert list(check()) == [Finding("ok", "ollama coda.yaml")]
    assert list(empty()) == []


def test_checks_are_not_run_when_they_are_offered() -> None:
    class Guest:
        @hookimpl
        def register_checks(self, register: Callable[..., None]) -> None:
            register("Lamps", pytest.fail)

    assert len(offered(Guest())) == 1


@pytest.mark.parametrize("wrong", [("", list), (None, list), ("Lamps", "on")])
def test_a_check_needs_a_title_and_a_function(wrong: tuple[object, object]) -> None:
    class Guest:
        @hookimpl
        def register_checks(self, register: Callable[..., None]) -> None:
            register(*wrong)

    [(title, check)] = offered(Guest())
    assert title == "guest0"
    with pytest.raises(PluginError, match=r"'guest0': register_checks takes a title"):
        check()


def test_a_plugin_that_fails_to_offer_keeps_nobody_elses_checks_back() -> None:
    class Broken:
        @hookimpl
        def register_checks(self, register: Callable[..., None]) -> None:
            register("Half", lambda: [])
            raise ZeroDivisionError("nought")

    class Guest:
        @hookimpl
        def register_checks(self, register: Callable[..., None]) -> None:
            register("Lamps", lambda: [])

    found = dict(offered(Broken(), Guest()))
    assert set(found) == {"Half", "guest0", "Lamps"}
    with pytest.raises(PluginError, match=r"'guest0' failed in register_checks: Zero.*: nought"):
        found["guest0"]()


def test_a_finding_is_read_as_a_line_and_its_remedy() -> None:
    assert str(Finding("ok", "the lamp is on")) == "ok      the lamp is on"
    told = str(Finding("broken", "the lamp is off", "switch it on"))
    assert told == "broken  the lamp is off\n        -> switch it on"
