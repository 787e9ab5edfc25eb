"""A client that lost its connection comes back and goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from closing import close
from lines import House, Line
from scripted import RATE, scripted_host

from coda_voice_plugin.events import (
    AudioFrame,
    Caption,
    Hello,
    Ping,
    Played,
    Pong,
    Problem,
    SessionReady,
    Speech,
    SpeechEnd,
    StateChanged,
    Subscribe,
    TurnEnded,
    Typed,
    UserSpeech,
)
from coda_voice_plugin.server import Limits, make_app
from coda_voice_plugin.wire.voice_opus import MicPackets, SpeechSound

MAY = Hello(16_000, reports_playback=True, resume=True)
LONG = "one two three four five six seven eight nine ten eleven twelve"
SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")


@pytest.fixture
def speech() -> bytes:
    """Somebody who speaks and then is silent for a second; 16 kHz PCM16."""
    if not SPEECH.exists():
        pytest.skip("needs Debian's pocketsphinx-testdata")
    return SPEECH.read_bytes() + bytes(32_000)


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        @asynccontextmanager
        async def opened(limits: Limits | None = None, **settings: Any) -> AsyncIterator[House]:
            async with scripted_host(tmp_path, **settings) as host, aiohttp.ClientSession() as http:
                # not aiohttp's TestServer: that one cancels the handler of a lost connection
                runner = web.AppRunner(make_app(host, limits=limits), shutdown_timeout=1.0)
                await runner.setup()
                try:
                    await web.TCPSite(runner, "127.0.0.1", 0).start()
                    port = runner.addresses[0][1]
                    yield House(host, http, f"ws://127.0.0.1:{port}/v1/voice")
                finally:
                    await close(runner)

        async def open_one(*given: Any, **settings: Any) -> House:
            return await stack.enter_async_context(opened(*given, **settings))

        open_one.opened = opened  # type: ignore[attr-defined]
        yield open_one


def back(ready: SessionReady, received: int | None) -> Hello:
    return replace(MAY, session=ready.session, token=ready.token, received=received)


def lease(seconds: float) -> dict[str, Any]:
    return {"port": 0, "lease_s": seconds}


async def test_a_reply_goes_on_where_the_line_broke_and_nothing_is_repeated(
    open_house: Any,
) -> None:
    house = await open_house(answers=[LONG])
    async with house.line(MAY, Typed("Count.")) as first:
        ready = await first.hear(SessionReady)
        assert ready.token
        assert (ready.lease_s, ready.resumed) == (30.0, "no")
        await first.hear(Speech, lambda speech: speech.frame.start > 12_000)
        first.drop()
        await house.parked(ready)
    async with house.line(back(ready, first.counted)) as second:
        again = await second.hear(SessionReady)
        assert (again.session, again.resumed, again.heard, again.missed) == (
            ready.session,
            "live",
            1,  # the typed question
            0,
        )
        end = await second.hear(SpeechEnd)
        await second.say(Played(end.turn, end.samples))
        turn = (await second.hear(TurnEnded)).turn
    assert turn.assistant == LONG
    frames = [speech.frame for speech in first.of(Speech) + second.of(Speech)]
    assert [frame.start for frame in frames[1:]] == [frame.end for frame in frames[:-1]]
    assert frames[-1].end == end.samples
    words = [word.text for each in first.of(Caption) + second.of(Caption) for word in each.words]
    assert " ".join(words) == LONG
    await house.calls(0)


async def test_while_nobody_listens_the_reply_stands_still(open_house: Any) -> None:
    house = await open_house(answers=[LONG])
    async with house.line(MAY, Typed("Count.")) as first:
        ready = await first.hear(SessionReady)
        speech = await first.hear(Speech, lambda speech: speech.frame.start > 8_000)
        await first.say(Played(speech.turn, speech.frame.start))
        first.drop()
        await house.parked(ready)
    playback = house.host.sessions[ready.session].call.floor.playback
    sent = playback.sent
    await asyncio.sleep(0.4)  # longer than what may be sent ahead
    assert playback.sent == sent
    assert house.host.sessions[ready.session].call.floor is not None


async def test_what_the_user_said_during_the_outage_is_heard(
    open_house: Any, speech: bytes
) -> None:
    house = await open_house(hears=["go forward ten meters"])
    frames = [AudioFrame(speech[at : at + 640], 16_000) for at in range(0, len(speech), 640)]
    async with house.line(MAY, *frames[:40]) as first:
        ready = await first.hear(SessionReady)
        await first.hear(UserSpeech)
        first.drop()
        await house.parked(ready)
    async with house.line(back(ready, first.counted)) as second:
        again = await second.hear(SessionReady)
        assert again.heard <= 40
        await second.say(*frames[again.heard :])
        end = await second.hear(SpeechEnd)
        await second.say(Played(end.turn, end.samples))
        turn = (await second.hear(TurnEnded)).turn
    assert turn.user == "go forward ten meters"
    # all of it came, none of it twice
    assert first.of(UserSpeech) + second.of(UserSpeech) == [UserSpeech(True), UserSpeech(False)]


async def test_a_page_that_was_loaded_again_gets_the_rest_from_the_sample_it_had_played(
    open_house: Any,
) -> None:
    house = await open_house(answers=[LONG])
    async with house.line(MAY, Typed("Count.")) as first:
        ready = await first.hear(SessionReady)
        await first.hear(Speech, lambda speech: speech.frame.start > 12_000)
        await first.say(Played(1, 11_111), Ping(1))
        await first.hear(Pong)  # so the report is there, too
        await first.ws.close(code=1001)
        await house.parked(ready)
    async with house.line(back(ready, None)) as second:
        again = await second.hear(SessionReady)
        assert (again.resumed, again.heard, again.missed) == ("live", 0, 0)
        end = await second.hear(SpeechEnd)
        await second.say(Played(end.turn, end.samples), Ping(2))
        turn = (await second.hear(TurnEnded)).turn
        assert [pong.heard for pong in second.of(Pong)] == [1]  # counted anew
        heard = second.heard
    assert turn.assistant == LONG
    frames = [speech.frame for speech in second.of(Speech)]
    assert frames[0].start == 11_111
    assert [frame.start for frame in frames[1:]] == [frame.end for frame in frames[:-1]]
    assert StateChanged("speaking") in heard


async def test_a_second_drop_is_counted_on_from_the_first(open_house: Any) -> None:
    house = await open_house(answers=[LONG])
    received = 0
    frames = []
    hello, questions = MAY, [Typed("Count.")]
    for part in range(4):
        async with house.line(hello, *questions) as line:
            ready = await line.hear(SessionReady)
            if part:
                assert (ready.resumed, ready.missed, ready.heard) == ("live", 0, 1)
            await line.hear(Speech)
            await line.hear(Speech)
            line.drop()
            await house.parked(ready)
        received += line.counted
        frames += [speech.frame for speech in line.of(Speech)]
        hello, questions = back(ready, received), []
    assert [frame.start for frame in frames[1:]] == [frame.end for frame in frames[:-1]]
    async with house.line(back(ready, 10_000)) as line:
        assert "cannot have been received" in (await line.hear(Problem)).message
        assert await line.closed() == 1008


async def test_when_the_lease_is_over_the_history_is_left(open_house: Any) -> None:
    house = await open_house(answers=["It is noon.", "At one."], server=lease(0.1))
    async with house.line(MAY, Typed("What is the time?")) as first:
        ready = await first.hear(SessionReady)
        end = await first.hear(SpeechEnd)
        await first.say(Played(end.turn, end.samples))
        await first.hear(TurnEnded)
        first.drop()
    await house.calls(0)
    async with house.line(back(ready, first.counted)) as second:
        again = await second.hear(SessionReady)
        assert (again.session, again.resumed, again.heard) == (ready.session, "stored", 0)
        assert again.token != ready.token
        await second.say(Typed("And lunch?"))
        assert (await second.hear(Speech)).turn == 2


async def test_a_restart_of_the_server_loses_no_finished_turn(open_house: Any) -> None:
    async with (
        open_house.opened(answers=["It is noon."]) as house,
        house.line(MAY, Typed("What is the time?")) as first,
    ):
        ready = await first.hear(SessionReady)
        end = await first.hear(SpeechEnd)
        await first.say(Played(end.turn, end.samples))
        await first.hear(TurnEnded)
        first.drop()
        await house.parked(ready)
    house = await open_house(answers=["At one."])
    async with house.line(replace(MAY, session=ready.session)) as stranger:
        assert (await stranger.hear(Problem)).code == "token"
    async with house.line(back(ready, first.counted)) as second:
        assert (await second.hear(SessionReady)).resumed == "stored"
        await second.say(Typed("And lunch?"))
        end = await second.hear(SpeechEnd)
        await second.say(Played(end.turn, end.samples))
        await second.hear(TurnEnded)
    stored = await house.host.store.turns(ready.session)
    assert [turn.user for turn in stored] == ["What is the time?", "And lunch?"]


@pytest.mark.parametrize("token", ["wrong", None])
async def test_a_session_is_not_given_to_who_lacks_its_token(
    open_house: Any, token: str | None
) -> None:
    house = await open_house()
    async with house.line(MAY) as owner:
        ready = await owner.hear(SessionReady)
        thief = replace(MAY, session=ready.session, token=token, received=0)
        async with house.line(thief) as line:
            problem = await line.hear(Problem)
            assert (problem.code, problem.fatal) == ("token", True)
            assert await line.closed() == 1008
        await owner.say(Ping(7))
        assert (await owner.hear(Pong)).id == 7
    await house.calls(0)


async def test_a_session_that_the_client_named_is_open_to_its_name(open_house: Any) -> None:
    house = await open_house()
    named = replace(MAY, session="kitchen")
    async with house.line(named) as first:
        await first.hear(SessionReady)
        async with house.line(named) as second:
            await second.hear(SessionReady)
            assert (await first.hear(Problem)).code == "taken_over"


async def test_a_newer_socket_replaces_one_whose_end_was_not_noticed(open_house: Any) -> None:
    house = await open_house(answers=[LONG])
    async with house.line(MAY, Typed("Count.")) as first:
        ready = await first.hear(SessionReady)
        await first.hear(Speech)
        async with house.line(back(ready, first.counted)) as second:
            assert (await second.hear(SessionReady)).resumed == "live"
            assert await first.closed() == 4001
            # what the first one got after the second asked for it is told twice, as asked
            assert (await second.hear(Speech)).frame.start == first.of(Speech)[0].frame.end
    await house.calls(0)


async def test_three_sockets_race_and_one_is_left(open_house: Any) -> None:
    house = await open_house()
    async with house.line(MAY) as first:
        ready = await first.hear(SessionReady)
        async with (
            house.line(back(ready, 0)) as second,
            house.line(back(ready, 0)) as third,
        ):
            await second.say(Ping(2))
            await third.say(Ping(3))
            codes = await asyncio.gather(first.closed(), second.closed())
            assert set(codes) == {4001}
            assert (await third.hear(Pong)).id == 3
    await house.calls(0)


async def test_a_client_that_does_not_read_may_come_back(open_house: Any) -> None:
    house = await open_house(limits=Limits(behind_s=0.05, bye_s=0.05))
    async with house.line(MAY, Typed("flood")) as slow:
        async with asyncio.timeout(10):
            while not house.host.sessions:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.005)
        (session,) = house.host.sessions.values()
        await house.parked(SessionReady(session.id, "", "", "", "", 0, 0))
        ready = await slow.hear(SessionReady)
        with pytest.raises(AssertionError, match="closed with"):
            await slow.hear(TurnEnded)
    async with house.line(back(ready, slow.counted)) as second:
        again = await second.hear(SessionReady)
        assert again.resumed == "live"
        assert again.missed >= 0


async def test_hanging_up_ends_it_at_once(open_house: Any) -> None:
    house = await open_house()
    async with house.line(MAY) as line:
        ready = await line.hear(SessionReady)
    await house.calls(0)
    async with house.line(back(ready, 0)) as line:
        assert (await line.hear(SessionReady)).resumed == "stored"


async def test_without_a_wish_to_come_back_nothing_waits(open_house: Any) -> None:
    house = await open_house()
    async with house.line(replace(MAY, resume=False)) as line:
        ready = await line.hear(SessionReady)
        assert (ready.token, ready.lease_s) == (None, 0.0)
        line.drop()
        await house.calls(0)


async def test_a_parked_session_gives_its_place_to_a_caller(open_house: Any) -> None:
    house = await open_house(server={"port": 0, "max_sessions": 2})
    readies = []
    for _ in range(2):
        async with house.line(MAY) as line:
            readies.append(await line.hear(SessionReady))
            line.drop()
            await house.parked(readies[-1])
    async with house.line(MAY) as third:
        assert (await third.hear(SessionReady)).resumed == "no"
        assert house.host.calls == 2
        async with house.line(back(readies[1], 0)) as second:  # the first was parked first
            assert (await second.hear(SessionReady)).resumed == "live"
            async with house.line(MAY) as fourth:
                assert (await fourth.hear(Problem)).code == "busy"


async def test_a_server_that_stops_waits_for_nobody(open_house: Any) -> None:
    async with open_house.opened() as house, house.line(MAY) as line:
        ready = await line.hear(SessionReady)
        line.drop()
        await house.parked(ready)
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 10


async def test_a_client_is_told_only_what_it_subscribed_to(open_house: Any) -> None:
    house = await open_house(answers=["It is noon.", "Yes."])
    wants = replace(MAY, events=("turn",))
    async with house.line(wants, Typed("What is the time?")) as line:
        end = await line.hear(SpeechEnd)
        await line.say(Played(end.turn, end.samples))
        await line.hear(TurnEnded)
        kinds = {type(event) for event in line.heard}
        assert kinds == {SessionReady, Speech, SpeechEnd, TurnEnded}
        await line.say(Subscribe(None), Typed("Is it?"))
        await line.hear(Caption)


async def test_opus_goes_on_packet_by_packet(open_house: Any) -> None:
    pytest.importorskip("av")
    house = await open_house(answers=[LONG])
    opus = replace(MAY, output=("opus", "pcm16"))
    messages: list[bytes] = []
    counts = []
    async with house.line(opus, Typed("Count.")) as first:
        ready = await first.hear(SessionReady)
        assert ready.output == "opus"
        counts.append(await take(first, messages, packets=10))
        first.drop()
        await house.parked(ready)
    again = replace(back(ready, counts[0]), output=("opus",))
    async with house.line(again) as second:
        assert (await second.hear(SessionReady)).output == "opus"
        await take(second, messages, packets=1_000)
        sound = SpeechSound(RATE)
        frames = [sound.read(message).frame for message in messages]
        assert [frame.start for frame in frames[1:]] == [frame.end for frame in frames[:-1]]
        assert frames[-1].end >= len(LONG.split()) * 0.22 * RATE
    async with house.line(replace(again, output=("pcm16",))) as other:
        assert "speaks opus" in (await other.hear(Problem)).message


async def take(line: Line, messages: list[bytes], packets: int) -> int:
    """Collect binary messages until there are so many, or the reply is over; return how many
    messages were counted."""
    counted = 0
    while packets:
        message = await line.ws.receive(timeout=10)
        counted += 1
        if message.type is aiohttp.WSMsgType.BINARY:
            messages.append(message.data)
            packets -= 1
        elif json.loads(message.data)["type"] == "speech_end":
            break
    return counted


async def test_a_microphone_may_speak_opus(open_house: Any, speech: bytes) -> None:
    pytest.importorskip("av")
    house = await open_house(hears=["go forward ten meters"])
    packets = MicPackets(16_000)
    async with house.line(Hello(48_000, input="opus")) as line:
        assert (await line.hear(SessionReady)).input == "opus"
        await line.ws.send_bytes(b"no packet of Opus is like this")
        assert "Opus packet" in (await line.hear(Problem)).message
        for at in range(0, len(speech), 640):
            for packet in packets.write(AudioFrame(speech[at : at + 640], 16_000)):
                await line.ws.send_bytes(packet)
        assert (await line.hear(TurnEnded)).turn.user == "go forward ten meters"


async def test_no_more_clients_than_places_may_keep_their_hello(open_house: Any) -> None:
    house = await open_house(server={"port": 0, "max_sessions": 2})
    async with house.line(), house.line(), house.line() as third:
        assert (await third.hear(Problem)).code == "busy"
        assert await third.closed() == 1013
    async with house.line(MAY) as fourth:
        await fourth.hear(SessionReady)
