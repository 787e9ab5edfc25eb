"""Every hook, called as the house calls it. A test is named after each hook."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import click
import pytest

from coda_voice_plugin import (
    LanguageModel,
    PluginError,
    Plugins,
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    Strategy,
    TextToSpeech,
    Tool,
    Turn,
    hookimpl,
)
from coda_voice_plugin.events import StateChanged

Given = list[Any]


class Chat(Strategy):
    name = "chat"

    async def converse(self, call: Any) -> None:
        pass


class Ear(SpeechToText):
    name = "ear"

    def listen(self) -> Recognition:
        raise NotImplementedError


class Mouth(TextToSpeech):
    name = "mouth"

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        return
        yield


class Mind(LanguageModel):
    name = "mind"

    async def chat(self, messages: Any, **_: Any) -> AsyncGenerator[Any, None]:
        return
        yield


def host_of(**guests: object) -> Plugins:
    """Plugins made of these objects alone, checked as installed ones are."""
    plugins = Plugins()
    for name, guest in guests.items():
        plugins.add(guest, name)
    plugins.collect()
    return plugins


# give


def test_hook_register_strategies() -> None:
    class Guest:
        @hookimpl
        def register_strategies(self, register: Callable[[type], None]) -> None:
            register(Chat)

    plugins = host_of(guest=Guest())
    assert plugins.strategy("chat") is Chat
    assert plugins.owners["strategy", "chat"] == "guest"


def test_hook_register_stt() -> None:
    class Guest:
        @hookimpl
        def register_stt(self, register: Callable[[type], None]) -> None:
            register(Ear)

    assert host_of(guest=Guest()).engine("stt", "ear") is Ear


def test_hook_register_tts() -> None:
    class Guest:
        @hookimpl
        def register_tts(self, register: Callable[[type], None]) -> None:
            register(Mouth)

    assert host_of(guest=Guest()).engine("tts", "mouth") is Mouth


def test_hook_register_llms() -> None:
    class Guest:
        @hookimpl
        def register_llms(self, register: Callable[[type], None]) -> None:
            register(Mind)

    assert host_of(guest=Guest()).engine("llm", "mind") is Mind


def test_an_ear_does_not_pass_for_a_mouth() -> None:
    class Guest:
        @hookimpl
        def register_tts(self, register: Callable[[type], None]) -> None:
            register(Ear)

    with pytest.raises(PluginError, match=r"'guest'.*not a subclass of TextToSpeech"):
        host_of(guest=Guest())


def test_hook_register_protocols() -> None:
    async def handler(request: Any) -> Any:
        raise NotImplementedError

    class Guest:
        @hookimpl
        def register_protocols(self, register: Callable[..., None]) -> None:
            register("/v1/mine", handler)

    plugins = host_of(guest=Guest())
    assert plugins.protocols == {"/v1/mine": handler}
    assert plugins.owners["protocol", "/v1/mine"] == "guest"
    with pytest.raises(PluginError, match="both register the protocol '/v1/mine'"):
        host_of(guest=Guest(), other=Guest())


@pytest.mark.parametrize(("path", "handler"), [("v1", print), (None, print), ("/v1", None)])
def test_a_protocol_needs_a_path_and_a_handler(path: Any, handler: Any) -> None:
    class Guest:
        @hookimpl
        def register_protocols(self, register: Callable[..., None]) -> None:
            register(path, handler)

    with pytest.raises(PluginError, match="'guest': register_protocols takes a path"):
        host_of(guest=Guest())


def test_hook_register_commands() -> None:
    class Guest:
        @hookimpl
        def register_commands(self, cli: click.Group) -> None:
            @cli.command()
            def hum() -> None:
                """Hum a tune."""

    group = click.Group("coda-voice")
    host_of(guest=Guest()).give_commands(group)
    assert list(group.commands) == ["hum"]


# ask


async def test_hook_reply_context() -> None:
    class Diary:
        @hookimpl
        async def reply_context(self, call: str, user_text: str) -> str:
            return f"{call} asked {user_text} before"

    class Silent:
        @hookimpl
        def reply_context(self) -> None:
            return None

    plugins = host_of(diary=Diary(), silent=Silent())
    answers = await plugins.ask("reply_context", 1.0, call="ann", user_text="that")
    assert answers == ["ann asked that before"]


async def test_hook_reply_tools() -> None:
    async def tell_time(arguments: Any) -> str:
        return "It is noon."

    clock = Tool("clock", "Tells the time.", {"type": "object", "properties": {}}, tell_time)

    class Guest:
        @hookimpl
        def reply_tools(self, call: Any) -> list[Tool]:
            return [clock]

    assert await host_of(guest=Guest()).ask("reply_tools", 1.0, call=None) == [[clock]]


async def test_hook_speaking_style() -> None:
    class Guest:
        @hookimpl
        def speaking_style(self) -> SpeakingStyle:
            return SpeakingStyle(pace=0.9)

    answers = await host_of(guest=Guest()).ask("speaking_style", 1.0, call=None)
    assert answers == [SpeakingStyle(pace=0.9)]


async def test_those_who_are_asked_answer_side_by_side() -> None:
    """Each waits for the other to have been asked: one after the other would be late."""
    met = asyncio.Barrier(2)

    class Guest:
        @hookimpl
        async def reply_context(self) -> str:
            await met.wait()
            return "here"

    plugins = host_of(ann=Guest(), bob=Guest())
    answers = await plugins.ask("reply_context", 5.0, call=None, user_text="")
    assert answers == ["here", "here"]
    assert not plugins.failures


async def test_who_is_late_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    class Slow:
        @hookimpl
        async def reply_context(self) -> str:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            return "too late"

    class Quick:
        @hookimpl
        def reply_context(self) -> str:
            return "in time"

    plugins = host_of(slow=Slow(), quick=Quick())
    answers = await plugins.ask("reply_context", 0.01, call=None, user_text="")
    assert answers == ["in time"]
    assert plugins.failures == {("slow", "reply_context"): 1}
    assert ended == [True]
    assert "plugin 'slow' is late in reply_context; left out" in caplog.text


async def test_who_fails_is_left_out_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        @hookimpl
        def reply_context(self) -> str:
            raise ValueError("no diary")

    class Whole:
        @hookimpl
        def reply_context(self) -> str:
            return "fine"

    plugins = host_of(broken=Broken(), whole=Whole())
    for _ in range(2):
        assert await plugins.ask("reply_context", 1.0, call=None, user_text="") == ["fine"]
    assert plugins.failures == {("broken", "reply_context"): 2}
    assert "plugin 'broken' failed in reply_context" in caplog.text
    assert "no diary" in caplog.text


async def test_a_timeout_of_the_plugin_s_own_is_a_failure_not_lateness(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Guest:
        @hookimpl
        async def reply_context(self) -> str:
            raise TimeoutError("the diary's server")

    plugins = host_of(guest=Guest())
    assert await plugins.ask("reply_context", 5.0, call=None, user_text="") == []
    assert "failed in reply_context" in caplog.text
    assert "late" not in caplog.text


async def test_a_cancellation_of_the_plugin_s_own_does_not_end_the_reply() -> None:
    class Guest:
        @hookimpl
        async def reply_context(self) -> str:
            future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            future.cancel()
            return await future

        @hookimpl
        async def session_started(self) -> None:
            raise asyncio.CancelledError

    plugins = host_of(guest=Guest())
    assert await plugins.ask("reply_context", 5.0, call=None, user_text="") == []
    await plugins.tell("session_started", call=None)
    assert plugins.failures.total() == 2


async def test_cancelling_the_asker_cancels_the_asked() -> None:
    asked, ended = asyncio.Event(), []

    class Guest:
        @hookimpl
        async def reply_context(self) -> str:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)
            return ""

    plugins = host_of(guest=Guest())
    asking = asyncio.ensure_future(plugins.ask("reply_context", 60, call=None, user_text=""))
    await asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ended == [True]
    assert not plugins.failures


# tell


class Note:
    """Writes down what it is told, plainly or asynchronously."""

    def __init__(self) -> None:
        self.given: Given = []


async def test_hook_session_started() -> None:
    class Guest(Note):
        @hookimpl
        def session_started(self, call: Any) -> None:
            self.given.append(call)

    guest = Guest()
    await host_of(guest=guest).tell("session_started", call="the call")
    assert guest.given == ["the call"]


async def test_hook_session_ended() -> None:
    class Guest(Note):
        @hookimpl
        async def session_ended(self, call: Any, error: BaseException | None) -> None:
            await asyncio.sleep(0)
            self.given.append((call, error))

    guest, fault = Guest(), RuntimeError("line cut")
    plugins = host_of(guest=guest)
    await plugins.tell("session_ended", call="the call", error=None)
    await plugins.tell("session_ended", call="the call", error=fault)
    assert guest.given == [("the call", None), ("the call", fault)]


async def test_hook_event_sent() -> None:
    class Guest(Note):
        @hookimpl
        def event_sent(self, event: Any) -> None:  # a subset of the arguments
            self.given.append(event)

    guest = Guest()
    await host_of(guest=guest).tell("event_sent", call=None, event=StateChanged("thinking"))
    assert guest.given == [StateChanged("thinking")]


async def test_hook_turn_completed() -> None:
    class Guest(Note):
        @hookimpl
        async def turn_completed(self, turn: Turn) -> None:
            self.given.append(turn.assistant)

    guest = Guest()
    turn = Turn(0, user="hello", assistant="good morning", generated="good morning to you")
    await host_of(guest=guest).tell("turn_completed", call=None, turn=turn)
    assert guest.given == ["good morning"]


async def test_a_plugin_that_fails_does_not_keep_the_others_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        @hookimpl
        def session_started(self) -> None:
            raise OSError("disk gone")

    class Whole(Note):
        @hookimpl
        def session_started(self, call: Any) -> None:
            self.given.append(call)

    first, last = Whole(), Whole()
    plugins = host_of(first=first, broken=Broken(), last=last)
    with caplog.at_level(logging.ERROR):
        await plugins.tell("session_started", call=1)
    assert first.given == last.given == [1]
    assert plugins.failures == {("broken", "session_started"): 1}
    assert "plugin 'broken' failed in session_started" in caplog.text


def test_whether_anybody_listens_is_known() -> None:
    class Guest:
        @hookimpl
        def event_sent(self) -> None:
            pass

    plugins = host_of(guest=Guest())
    assert plugins.listens("event_sent")
    assert not plugins.listens("turn_completed")
