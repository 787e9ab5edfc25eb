"""Moshi's own protocol at /api/chat: Kyutai's client as it is, and a caller that looks closely."""

from __future__ import annotations

import asyncio
import io
import re
import sys
import threading
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from types import ModuleType
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from moshi_caller import (
    FRAME,
    RATE,
    Greeter,
    calling,
    emptied,
    level,
    pitch,
    served,
    talking,
    tone,
)
from scripted import WORD_S
from sound_card import SoundCard, User

from coda_voice_plugin import BusyError, Call, Strategy, VoiceConfig, load_plugins
from coda_voice_plugin.audio.opus import OpusDecoder, OpusEncoder
from coda_voice_plugin.kyutai.line import Line
from coda_voice_plugin.server.chat import UNHEARD_S
from coda_voice_plugin.server.clients import Limits
from coda_voice_plugin.strategies.echo import EchoStrategy
from coda_voice_plugin.strategies.moshi.remote import open_remote
from coda_voice_plugin.wire.moshi import Sound, Text, encode


@pytest.fixture
def kyutai(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Kyutai's client, unmodified; ``kyutai(card)`` gives it that sound card."""
    pytest.importorskip("moshi", reason="Kyutai's client is in the extra `moshi`")

    def with_card(card: SoundCard) -> ModuleType:
        monkeypatch.setitem(sys.modules, "sounddevice", card)
        monkeypatch.delitem(sys.modules, "moshi.client", raising=False)
        import moshi.client

        return moshi.client

    return with_card


class Terminal:
    """Where a client prints."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()

    @property
    def lags(self) -> int:
        return self.err.getvalue().count("[LAG]")


@asynccontextmanager
async def client_of(server: TestServer, client: ModuleType) -> AsyncIterator[Any]:
    """Kyutai's client, connected; it hangs up when the block ends."""
    from moshi.client_utils import RawPrinter

    terminal = Terminal()
    printer = RawPrinter(terminal.out, terminal.err)
    where = Namespace(url=None, https=False, host=server.host, port=server.port)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(client.run(printer, where))
        try:
            yield terminal
        finally:
            run.cancel()


async def played(user: User, seconds: float) -> None:
    """Wait until the loudspeaker has played so much."""
    async with asyncio.timeout(10):
        while len(user.heard) * FRAME < seconds * RATE:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.02)


async def test_kyutais_client_hears_itself_through_echo(kyutai: Any) -> None:
    card = SoundCard(tone(440, 1.0))
    (user,) = card.users
    client = kyutai(card)
    async with served(EchoStrategy()) as server:
        async with client_of(server, client) as terminal:
            await played(user, 2.0)
        await emptied(server)
    played_back = np.concatenate(user.heard)
    assert pitch(played_back) == pytest.approx(440, abs=2)
    energy = float(np.sum(played_back**2))
    assert energy == pytest.approx(float(np.sum(tone(440, 1.0) ** 2)), rel=0.1), "sound was lost"
    quiet_end = [level(frame) for frame in user.heard[-3:]]
    assert max(quiet_end) < 0.01
    assert terminal.lags < len(user.heard) / 3, "the stream runs dry"


async def test_kyutais_client_shows_the_words(kyutai: Any) -> None:
    card = SoundCard(tone(440, 0.0))
    (user,) = card.users
    client = kyutai(card)
    async with (
        served(Greeter("It is noon.")) as server,
        client_of(server, client) as terminal,
    ):
        await played(user, 1.5)
    assert terminal.out.getvalue() == " It is noon."
    spoken = sum(level(frame) > 0.02 for frame in user.heard) * FRAME / RATE
    assert spoken == pytest.approx(3 * WORD_S, abs=0.2)
    warnings = re.findall(r"Warning: (.*)", terminal.err.getvalue())
    assert warnings == ["unknown message kind 0"], "it says so of a stock server's handshake, too"


async def test_two_of_kyutais_clients_at_once_do_not_mix(kyutai: Any) -> None:
    card = SoundCard(tone(440, 2.0), tone(660, 2.0))
    client = kyutai(card)
    async with (
        served(EchoStrategy()) as server,
        client_of(server, client),
        client_of(server, client),
    ):
        for user in card.users:
            await played(user, 1.2)
        assert server.host_of_voice.calls == 2
    pitches = [pitch(np.concatenate(user.heard[-8:])) for user in card.users]
    assert pitches == pytest.approx([440, 660], abs=3)


async def test_our_own_line_to_a_moshi_server_works_with_ours() -> None:
    """Both ends are ours: a strategy here that listens to a strategy there."""
    async with served(EchoStrategy()) as server:
        url = str(server.make_url("/api/chat")).replace("http", "ws", 1)
        values = VoiceConfig.model_validate({"moshi": {"url": url}})
        heard: list[Any] = []
        async with open_remote(values) as line, aclosing(line.spoken()) as frames:
            sound = tone(440, 1.2)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(push(line, sound))
                async for spoken in frames:
                    heard.append(spoken)
                    if len(heard) == 10:
                        break
        await emptied(server)
    assert pitch(np.concatenate([each.sound for each in heard[5:]])) == pytest.approx(440, abs=3)


async def push(line: Line, sound: Any) -> None:
    for first in range(0, len(sound), FRAME):
        line.push(sound[first : first + FRAME])
        await asyncio.sleep(FRAME / RATE)


async def test_opus_is_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def noting(coder: type, name: str) -> None:
        work = getattr(coder, name)

        def noted(*args: Any) -> Any:
            threads.add(threading.current_thread().name.rpartition("_")[0])
            return work(*args)

        monkeypatch.setattr(coder, name, noted)

    async with served(EchoStrategy()) as server, calling(server) as caller:
        data = OpusEncoder().encode(tone(440, 0.08))
        noting(OpusEncoder, "encode")
        noting(OpusDecoder, "decode")
        await caller.ws.send_bytes(encode(Sound(data)))
        assert (await caller.ws.receive(timeout=5)).data[0] == 1
    assert threads == {"opus"}


async def test_the_installed_plugin_serves_the_address() -> None:
    assert load_plugins().owners["protocol", "/api/chat"] == "moshi-protocol"


async def test_nothing_is_sent_before_the_client_is_heard() -> None:
    async with served(Greeter("Good morning.")) as server, talking(server) as caller:
        await asyncio.sleep(0.3)
        assert not caller.messages
        await caller.say(np.zeros(RATE // 2, np.float32))
    assert caller.text == " Good morning."


async def test_the_stream_has_the_speed_at_which_it_is_heard() -> None:
    async with served(Greeter("one two three")) as server, talking(server) as caller:
        await caller.say(np.zeros(round(1.4 * RATE), np.float32))
    samples = np.cumsum([len(each) for _, each in caller.messages if isinstance(each, np.ndarray)])
    times = [at for at, each in caller.messages if isinstance(each, np.ndarray)]
    ahead = samples / RATE - (np.array(times) - times[0])
    assert ahead.max() < 0.2, "it was sent in advance: the client would lag behind for ever"
    assert len(times) > 15


async def test_words_go_with_the_sound_in_which_they_begin() -> None:
    async with served(Greeter("one two three")) as server, talking(server) as caller:
        await caller.say(np.zeros(round(1.2 * RATE), np.float32))
    position, begins = 0, {}
    for _, each in caller.messages:
        if isinstance(each, np.ndarray):
            position += len(each)
        elif isinstance(each, Text):
            begins[each.text] = position
    assert list(begins) == [" one", " two", " three"]
    first = int(np.argmax(np.abs(caller.sound) > 0.02))
    for number, place in enumerate(begins.values()):
        sounds = first + number * WORD_S * RATE
        assert 0 <= place - sounds <= 0.08 * RATE


async def test_silence_is_not_sent_to_a_client_that_is_not_heard() -> None:
    async with served(Greeter("Hm.")) as server, talking(server) as caller:
        await caller.say(np.zeros(3 * FRAME, np.float32))
        await asyncio.sleep(0.6)
        quiet = len(caller.messages)
        await asyncio.sleep(0.1)
        assert len(caller.messages) == quiet
        await caller.say(np.zeros(5 * FRAME, np.float32))
        assert len(caller.messages) > quiet + 3
    assert len(caller.sound) <= (8 * FRAME / RATE + UNHEARD_S + 0.05) * RATE


async def test_what_is_flushed_is_not_heard() -> None:
    strategy = Greeter("one two three four five six seven eight nine ten")
    async with (
        served(strategy) as server,
        talking(server) as caller,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(caller.say(np.zeros(RATE, np.float32)))
        await asyncio.sleep(0.5)
        assert strategy.calls[0].interrupt()
        heard = len(caller.sound)
    after = caller.sound[heard + 3 * 960 :]
    assert level(caller.sound[:heard]) > 0.02
    assert len(after) > 0.2 * RATE
    assert level(after) < 0.01
    assert "ten" not in caller.text


async def test_when_all_places_are_taken_a_caller_is_told_at_once() -> None:
    async with (
        served(EchoStrategy(), server={"max_sessions": 1}) as server,
        calling(server),
        aiohttp.ClientSession() as session,
    ):
        time = asyncio.get_running_loop().time
        url = server.make_url("/api/chat")
        took = []
        for _ in range(5):  # the machine may be busy with something else
            began = time()
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url)
            took.append(time() - began)
            assert caught.value.status == 503
        assert min(took) < 0.05
        async with session.get(url) as answer:
            assert "all 1 places are taken; try again" in await answer.text()
        assert server.host_of_voice.calls == 1


async def test_kyutais_client_is_told_that_the_house_is_full(kyutai: Any) -> None:
    card = SoundCard(tone(440, 0.0))
    client = kyutai(card)
    async with served(EchoStrategy(), server={"max_sessions": 1}) as server, calling(server):
        with pytest.raises(ExceptionGroup) as caught:
            async with client_of(server, client):
                await asyncio.sleep(5)
    assert caught.group_contains(aiohttp.WSServerHandshakeError, match="503")


async def test_kinds_that_are_not_used_are_left_out() -> None:
    async with served(EchoStrategy()) as server, talking(server) as caller:
        for harmless in (b"\0", b"\2hello", b"\3\0", b"\4{}", b"\6", b"\xff\xff", b"\1"):
            for _ in range(3):
                await caller.ws.send_bytes(harmless)
        await caller.say(tone(440, 0.4))
        assert level(caller.sound) > 0.05
        assert not caller.failures


async def test_messages_that_are_not_allowed_are_told_and_ten_are_too_many() -> None:
    async with served(EchoStrategy()) as server, calling(server) as caller:
        await caller.say(tone(440, 0.08), live=False)
        for _ in range(5):
            await caller.ws.send_bytes(b"")
            await caller.ws.send_str("hello")
        assert await caller.listen() == 1008
    assert any("this one is empty" in text for text in caller.failures)
    assert any("this one is text" in text for text in caller.failures)
    assert caller.failures[-1] == "10 messages were not allowed; goodbye."


@pytest.mark.parametrize(
    "noise", [b"\x01" + bytes(500), b"\x01OggS\0\2 and so on", b"\x01RIFF...."]
)
async def test_sound_that_is_no_opus_is_refused(noise: bytes) -> None:
    async with served(EchoStrategy()) as server, calling(server) as caller:
        for _ in range(10):
            await caller.ws.send_bytes(noise + bytes(500))
        assert await caller.listen() == 1008
        assert "the sound is no Ogg/Opus stream" in caller.failures[0]


async def test_some_bytes_that_stand_for_minutes_are_refused() -> None:
    data = OpusEncoder().encode(np.zeros(60 * RATE, np.float32))
    assert len(data) < 120_000
    async with served(EchoStrategy()) as server, calling(server) as caller:
        await caller.ws.send_bytes(encode(Sound(data)))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(caller.listen())
            async with asyncio.timeout(5):
                while not caller.failures:  # noqa: ASYNC110 - the caller notes it
                    await asyncio.sleep(0.01)
            listening.cancel()
    assert caller.failures == ["one piece holds more than 5 seconds of sound."]


async def test_a_message_that_is_too_large_ends_the_session() -> None:
    settings = {"max_message_bytes": 1_000}
    async with served(EchoStrategy(), server=settings) as server, calling(server) as caller:
        await caller.ws.send_bytes(bytes(1_002))
        assert await caller.listen() == 1009


async def test_a_strategy_that_is_done_closes_the_socket_when_all_was_sent() -> None:
    async with (
        served(Greeter("one two three", stays=False)) as server,
        calling(server) as caller,
        asyncio.TaskGroup() as tasks,
    ):
        listening = tasks.create_task(caller.listen())
        saying = tasks.create_task(caller.say(np.zeros(3 * RATE, np.float32)))
        assert await listening == 1000
        saying.cancel()
    assert caller.text == " one two three"
    assert len(caller.sound) >= 3 * WORD_S * RATE


class Failing(Strategy):
    """Raises what ``fail`` makes."""

    name = "failing"

    def __init__(self, fail: Callable[[], Exception]) -> None:
        self._fail = fail

    async def converse(self, call: Call) -> None:
        raise self._fail()


@pytest.mark.parametrize(
    ("fail", "code", "told"),
    [
        (lambda: RuntimeError("a bug"), 1011, "something broke; the server's log says what."),
        (lambda: BusyError(1, "it is taken; wait."), 1013, "it is taken; wait."),
    ],
    ids=["bug", "busy"],
)
async def test_a_broken_strategy_is_told_and_ends_its_call(
    fail: Callable[[], Exception], code: int, told: str
) -> None:
    async with served(Failing(fail)) as server:
        async with calling(server) as caller:
            assert await caller.listen() == code
        await emptied(server)
    assert caller.failures == [told]


async def test_a_client_that_does_not_read_is_ended() -> None:
    limits = Limits(behind_s=0.3, bye_s=0.5)
    strategy = Greeter("Hello.")
    async with served(strategy, limits=limits) as server, calling(server) as caller:
        transport: Any = caller.ws._conn.transport
        await caller.say(np.zeros(FRAME, np.float32))
        transport.pause_reading()
        for _ in range(400):  # more than any socket buffer holds
            strategy.calls[0].report(BusyError(1, "x" * 9_000))
        await emptied(server)
        transport.resume_reading()


async def test_when_the_server_stops_callers_are_told() -> None:
    async with (
        served(EchoStrategy()) as server,
        calling(server) as caller,
        asyncio.TaskGroup() as tasks,
    ):
        listening = tasks.create_task(caller.listen())
        await caller.say(tone(440, 0.2))
        await server.close()
        assert await listening == 1001


async def test_only_sockets_are_served() -> None:
    async with served(EchoStrategy()) as server, aiohttp.ClientSession() as session:
        url = server.make_url("/api/chat")
        assert (await session.post(url)).status == 405
        assert (await session.get(url)).status == 400
        assert server.host_of_voice.calls == 0
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(url, origin="https://evil.example")
        assert caught.value.status == 403


async def test_without_opus_the_caller_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sphn", None)
    async with served(EchoStrategy()) as server, aiohttp.ClientSession() as session:
        async with session.get(server.make_url("/api/chat")) as answer:
            assert answer.status == 501
            assert "pip install 'coda-voice-plugin[kyutai]'" in await answer.text()
        assert server.host_of_voice.calls == 0
