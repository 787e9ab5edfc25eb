"""Loading plugins: what is wrong is said, with the name of who brought it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from coda_voice_plugin import (
    PluginError,
    Plugins,
    Strategy,
    UnknownNameError,
    hookimpl,
    load_plugins,
)

Install = Callable[..., None]

STRATEGY = """
    from coda_voice_plugin import Strategy, hookimpl

    class Mine(Strategy):
        name = "mine"
        async def converse(self, call):
            pass

    @hookimpl
    def register_strategies(register):
        register(Mine)
"""


def test_a_plugin_behind_an_entry_point_is_loaded(install: Install) -> None:
    install("mine", STRATEGY)
    plugins = load_plugins()
    assert plugins.names("strategy") == ["mine"]
    assert issubclass(plugins.strategy("mine"), Strategy)
    assert plugins.owners["strategy", "mine"] == "mine"


def test_the_built_ins_enter_by_the_same_door() -> None:
    plugins = load_plugins()
    assert {"echo", "ollama"} <= set(plugins.names("strategy"))
    assert plugins.owners["stt", "moonshine"] == "moonshine"
    assert plugins.owners["tts", "hibari"] == "hibari"
    assert plugins.owners["llm", "auto"] == "auto-llm"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise RuntimeError('no licence key')", "RuntimeError: no licence key"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(
    install: Install, source: str, fault: str
) -> None:
    install("bad", source)
    with pytest.raises(PluginError, match=r"plugin 'bad' \(guest_bad_.*failed to load") as caught:
        load_plugins()
    assert fault in str(caught.value)
    assert "plugins.disabled" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_disabled_plugin_is_not_even_imported(install: Install) -> None:
    install("bad", "raise RuntimeError")
    install("mine", STRATEGY)
    assert load_plugins(disabled=["bad"]).names("strategy") == ["mine"]


def test_disabling_a_plugin_that_is_not_there_is_only_a_warning(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("mine", STRATEGY)
    load_plugins(disabled=["memroy"])
    assert "'memroy', which is not installed" in caplog.text


def test_two_packages_with_one_plugin_name_are_refused(install: Install) -> None:
    install("mine", STRATEGY, module="mine_of_ann")
    install("mine", STRATEGY, module="mine_of_bob")
    with pytest.raises(PluginError, match="two packages install a plugin named 'mine'"):
        load_plugins()
    assert load_plugins(disabled=["mine"]).names("strategy") == []


def test_two_plugins_with_one_strategy_name_are_both_named(install: Install) -> None:
    install("ann", STRATEGY)
    install("bob", STRATEGY)
    with pytest.raises(PluginError, match="'ann' and 'bob' both register the strategy 'mine'"):
        load_plugins()


def test_an_unknown_hook_is_refused(install: Install) -> None:
    install(
        "typo",
        """
        from coda_voice_plugin import hookimpl

        @hookimpl
        def turn_complete(call, turn):
            pass
        """,
    )
    with pytest.raises(PluginError, match=r"unknown hook.*turn_complete"):
        load_plugins()


def test_an_argument_that_the_hook_does_not_have_is_refused(install: Install) -> None:
    install(
        "typo",
        """
        from coda_voice_plugin import hookimpl

        @hookimpl
        def reply_context(call, text):
            pass
        """,
    )
    with pytest.raises(PluginError, match=r"plugin 'typo' is not valid"):
        load_plugins()


class Whole(Strategy):
    name = "whole"

    async def converse(self, call: Any) -> None:
        pass


class Unfinished(Strategy):
    name = "unfinished"


class Nameless(Strategy):
    async def converse(self, call: Any) -> None:
        pass


class Other:
    name = "other"


@pytest.mark.parametrize(
    ("offered", "fault"),
    [
        (Other, "it is not a subclass of Strategy"),
        (Whole(), "it is not a subclass of Strategy"),
        (Unfinished, "Unfinished lacks converse"),
        (Nameless, 'Nameless needs `name = "..."`'),
    ],
)
@pytest.mark.usefixtures("install")
def test_what_is_not_a_whole_strategy_is_refused(offered: Any, fault: str) -> None:
    class Guest:
        @hookimpl
        def register_strategies(self, register: Any) -> None:
            register(offered)

    with pytest.raises(PluginError, match="guest") as caught:
        load_plugins(extra=[("guest", Guest())])
    assert fault in str(caught.value)


@pytest.mark.usefixtures("install")
def test_a_name_registered_twice_by_one_plugin_is_refused() -> None:
    class Second(Whole):
        pass

    class Guest:
        @hookimpl
        def register_strategies(self, register: Any) -> None:
            register(Whole)
            register(Whole)  # the same class again does no harm
            register(Second)

    with pytest.raises(PluginError, match="'guest' registers the strategy 'whole' twice"):
        load_plugins(extra=[("guest", Guest())])


@pytest.mark.usefixtures("install")
def test_a_failure_while_registering_names_the_plugin_and_the_hook() -> None:
    class Guest:
        @hookimpl
        def register_tts(self, register: Any) -> None:
            raise OSError("no sound card")

    with pytest.raises(
        PluginError, match="'guest' failed in register_tts: OSError: no sound card"
    ) as caught:
        load_plugins(extra=[("guest", Guest())])
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.usefixtures("install")
def test_a_registering_hook_cannot_be_async() -> None:
    class Guest:
        @hookimpl
        async def register_stt(self, register: Any) -> None:
            pass

    with pytest.raises(PluginError, match="'guest': register_stt cannot be async"):
        load_plugins(extra=[("guest", Guest())])


@pytest.mark.usefixtures("install")
def test_a_hook_wrapper_is_refused() -> None:
    class Guest:
        @hookimpl(wrapper=True)
        def reply_context(self, call: Any) -> Any:
            return (yield)

    with pytest.raises(PluginError, match="'guest': reply_context cannot be a hook wrapper"):
        load_plugins(extra=[("guest", Guest())])


def test_an_unknown_name_offers_the_nearest_one(install: Install) -> None:
    install("mine", STRATEGY)
    with pytest.raises(UnknownNameError) as caught:
        load_plugins().strategy("mien")
    assert str(caught.value) == "no strategy named 'mien'. Did you mean 'mine'? Installed: mine."
    assert caught.value.kind == "strategy"


def test_every_hook_call_is_logged_on_request(
    install: Install, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install("mine", STRATEGY)
    load_plugins()
    assert "trace" not in caplog.text
    monkeypatch.setenv("CODA_VOICE_TRACE", "1")
    load_plugins()
    assert "trace: register_strategies -> 'mine'" in caplog.text


async def test_a_traced_call_says_how_long_it_took(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Guest:
        @hookimpl
        async def session_started(self, call: Any) -> None:
            pass

    monkeypatch.setenv("CODA_VOICE_TRACE", "1")
    plugins = Plugins()
    plugins.add(Guest(), "guest")
    with caplog.at_level(logging.WARNING):
        await plugins.tell("session_started", call=None)
    assert "trace: session_started -> 'guest' in " in caplog.text
