"""The client against a server that follows a script, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from wires import BUSY, READY, Server

from coda_voice_plugin import (
    BusyError,
    ServerError,
    TakenOverError,
    TokenError,
    VoiceError,
    WireError,
)
from coda_voice_plugin.client import Dropped, VoiceClient, connect
from coda_voice_plugin.events import (
    AudioFrame,
    Flush,
    Held,
    Mute,
    Notice,
    Played,
    Problem,
    SessionReady,
    Speech,
    SpeechEnd,
    StateChanged,
    Stop,
    TalkKey,
    Typed,
    UseMode,
    UseModel,
)
from coda_voice_plugin.testing import run_virtual

NOON = Notice("clock", {"hour": 12})


@asynccontextmanager
async def talking(server: Server, **options: Any) -> AsyncIterator[VoiceClient]:
    """A client of ``server``, which runs as long."""
    running = asyncio.ensure_future(server.run())
    try:
        async with connect("127.0.0.1:1", dial=server.dial, **options) as voice:
            yield voice
    finally:
        running.cancel()
        await asyncio.wait([running])


def play(
    scene: Callable[[Server, VoiceClient], Awaitable[None]],
    server: Server | None = None,
    **options: Any,
) -> Server:
    """Run a scene with a client in virtual time."""
    server = server or Server()
    random.seed(1)  # the waits before coming back are left to chance

    async def main() -> None:
        async with talking(server, **options) as voice:
            await scene(server, voice)

    run_virtual(main())
    return server


async def next_of(voice: VoiceClient, kind: type[Any]) -> Any:
    async for event in voice:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the conversation ended before {kind.__name__}")


def test_what_the_server_tells_comes_as_events() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.say(NOON, StateChanged("thinking"))
        assert [await anext(voice) for _ in range(3)] == [READY, NOON, StateChanged("thinking")]
        assert voice.ready.session == "7f3a"

    play(scene)


def test_each_message_of_a_client_reaches_the_server() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await voice.send_sound(b"\1\0" * 320)
        await voice.send_text("hello")
        await voice.stop()
        await voice.talk(True)
        await voice.mute(True)
        await voice.use_model("qwen3:8b")
        await voice.use_mode("turn_based")
        await asyncio.sleep(0.1)

    server = play(scene, rate=16_000)
    assert server.heard == [
        AudioFrame(b"\1\0" * 320),
        Typed("hello"),
        Stop(),
        TalkKey(True),
        Mute(True),
        UseModel("qwen3:8b"),
        UseMode("turn_based"),
    ]
    (hello,) = server.hellos
    assert (hello.rate, hello.reports_playback, hello.resume) == (16_000, True, True)
    assert server.socket.closed.code == 1000


def test_playback_is_reported_as_the_clock_plays_it() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.speak(1, 0, 6_000)  # 250 ms
        server.say(SpeechEnd(1, 6_000))
        await asyncio.sleep(1.0)

    heard = play(scene).heard
    assert heard == [Played(1, 2_400), Played(1, 4_800), Played(1, 6_000, final=True)]


def test_a_flush_is_answered_with_the_last_position() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.speak(1, 0, 24_000)
        await asyncio.sleep(0.55)
        server.say(Flush(1))
        await asyncio.sleep(1.0)
        assert voice.played.samples == 13_200

    assert play(scene).heard[-1] == Played(1, 13_200, final=True)


def test_positions_stand_still_while_a_reply_is_held() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.speak(1, 0, 24_000)
        await asyncio.sleep(0.25)
        server.say(Held(1, True))
        await asyncio.sleep(5.0)
        assert voice.played.samples == 6_000
        server.say(Held(1, False))
        await asyncio.sleep(0.25)
        assert voice.played.samples == 12_000

    positions = [each.samples for each in play(scene).heard]
    assert positions[:3] == [2_400, 4_800, 6_000]
    assert positions == sorted(set(positions)), "a position is told once"


def test_a_client_that_does_not_report_says_nothing_of_playback() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.speak(1, 0, 2_400)
        server.say(Flush(1))
        await asyncio.sleep(1.0)

    server = play(scene, reports_playback=False)
    assert not server.heard
    assert not server.hellos[0].reports_playback


@pytest.mark.parametrize("seed", range(12))
def test_after_a_drop_nothing_is_lost_and_nothing_is_repeated(seed: int) -> None:
    chance = random.Random(seed)
    frames, words = 250, [f"word {n}" for n in range(100)]
    got: list[tuple[int, int]] = []

    async def scene(server: Server, voice: VoiceClient) -> None:
        async def speaks() -> None:
            for n in range(frames):
                server.speak(1, 480 * n, 480, n)
                await asyncio.sleep(0.02)
            server.say(NOON)

        async def drops() -> None:
            for _ in range(3):
                await asyncio.sleep(chance.uniform(0.05, 2.5))
                server.socket.cut()

        async def types() -> None:
            for word in words:
                await voice.send_text(word)
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            for work in (speaks(), drops(), types()):
                tasks.create_task(work)
            async for event in voice:
                if isinstance(event, Speech):
                    got.append((event.frame.start, event.frame.pcm[0]))
                if event == NOON:
                    break
        await asyncio.sleep(20.0)

    server = play(scene, Server(), ping_s=1.0)
    assert got == [(480 * n, n % 256) for n in range(frames)]
    assert [each.text for each in server.heard if isinstance(each, Typed)] == words
    positions = [each.samples for each in server.heard if isinstance(each, Played)]
    assert positions == sorted(set(positions))
    assert positions[-1] == 480 * frames
    assert 2 <= len(server.hellos) <= 4, "who is away already is not dropped"


def test_what_comes_slowly_is_resumed_as_well() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        for n in range(20):
            await voice.send_text(f"{n}")
        server.socket.cut()
        for n in range(20, 40):
            await voice.send_text(f"{n}")
            await asyncio.sleep(0.2)
        await asyncio.sleep(2.0)

    server = Server()
    server.delay_s = 0.3
    play(scene, server)
    assert [each.text for each in server.heard] == [f"{n}" for n in range(40)]


def test_a_drop_and_the_return_are_told() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await anext(voice)
        server.socket.cut()
        assert isinstance(await anext(voice), Dropped)
        back = await anext(voice)
        assert (back.resumed, back.token) == ("live", "t-1")

    server = play(scene)
    assert (server.hellos[1].session, server.hellos[1].token) == ("7f3a", "t-1")
    assert server.hellos[1].received == 0


def test_a_server_that_was_restarted_counts_anew() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.say(NOON, NOON)
        await voice.send_text("before")
        server.speak(1, 0, 24_000)
        await asyncio.sleep(0.5)
        server.restart()
        while (await next_of(voice, SessionReady)).resumed != "stored":
            pass
        await voice.send_text("after")
        server.say(StateChanged("thinking"))
        assert await next_of(voice, StateChanged)
        server.socket.cut()
        assert (await next_of(voice, SessionReady)).resumed == "live"
        await voice.send_text("again")
        await asyncio.sleep(5.0)

    server = play(scene)
    assert server.heard == [Typed("after"), Typed("again")]
    assert [each.received for each in server.hellos] == [None, 3, 1]


def test_messages_that_the_server_gave_up_are_counted_as_missed() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.say(NOON)
        await next_of(voice, Notice)
        server.ready = READY.__class__(**{**_fields(READY), "missed": 5})
        server.socket.cut()
        await next_of(voice, Dropped)
        await next_of(voice, SessionReady)
        server.socket.cut()
        await next_of(voice, SessionReady)

    assert [each.received for each in play(scene).hellos] == [None, 1, 6]


def _fields(ready: SessionReady) -> dict[str, Any]:
    return {name: getattr(ready, name) for name in ready.__slots__}


def test_what_is_older_than_thirty_seconds_is_given_up_and_the_rest_goes_on() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await asyncio.sleep(0.1)
        server.away = True
        server.socket.cut()
        for n in range(50):
            await voice.send_text(f"{n}")
            await asyncio.sleep(1.0)
        server.away = False
        await asyncio.sleep(20.0)
        await voice.send_text("50")
        await asyncio.sleep(1.0)
        server.socket.cut()
        await asyncio.sleep(2.0)
        await voice.send_text("51")
        await asyncio.sleep(1.0)

    heard = [int(each.text) for each in play(scene).heard]
    assert heard == list(range(heard[0], 52))
    assert 15 <= heard[0] <= 25


def test_a_dead_link_is_noticed_by_its_silence() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await anext(voice)
        await asyncio.sleep(60.0)  # a server that answers is not left
        assert len(server.hellos) == 1
        assert voice.rtt_ms == 100.0
        server.silent = True
        lost = await anext(voice)
        assert isinstance(lost, Dropped)
        assert asyncio.get_running_loop().time() < 60 + 5 + 15
        server.silent = False
        assert (await anext(voice)).resumed == "live"

    server = Server()
    server.delay_s = 0.05
    play(scene, server)


def test_a_network_that_takes_nothing_is_a_dead_link() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await anext(voice)
        server.socket.other.full = True
        assert isinstance(await anext(voice), Dropped)
        assert (await anext(voice)).resumed == "live"

    play(scene)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (BUSY, BusyError),
        (Problem("token", "no", fatal=True), TokenError),
        (Problem("wire", "no hello within 5 seconds; send it first.", fatal=True), WireError),
        (Problem("engine_missing", "hibari is not there.", fatal=True), ServerError),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(refusal: Problem, error: type[VoiceError]) -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        raise AssertionError("it was refused")

    server = Server()
    server.refusal = refusal
    with pytest.raises(error) as raised:
        play(scene, server)
    assert error is TokenError or str(raised.value) == refusal.message
    assert server.dials == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [(4001, TakenOverError), (1008, WireError), (1000, None)],
)
def test_a_close_that_is_final_is_not_fought(code: int, error: type[VoiceError] | None) -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.say(NOON)
        server.socket.break_off(code, "because")
        assert [await anext(voice), await anext(voice)] == [READY, NOON]
        if error is None:
            assert [each async for each in voice] == []
        else:
            with pytest.raises(error):
                await anext(voice)
        with pytest.raises(error or ServerError):
            await voice.send_text("too late")

    assert play(scene).dials == 1


def test_a_problem_that_ends_the_session_is_told_and_raised() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        problem = Problem("behind", "the client did not read.", fatal=True)
        server.say(problem)
        server.socket.break_off(1008)
        assert await next_of(voice, Problem) == problem
        with pytest.raises(ServerError, match="did not read"):
            await anext(voice)

    play(scene)


def test_without_a_token_a_drop_ends_the_conversation() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        await anext(voice)
        server.socket.cut()
        with pytest.raises(ServerError, match="lost"):
            await anext(voice)

    server = Server(READY.__class__(**{**_fields(READY), "token": None, "lease_s": 0.0}))
    play(scene, server, resume=False)
    assert server.dials == 1


def test_a_server_that_does_not_come_back_is_given_up() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.away = True
        server.socket.cut()
        with pytest.raises(ServerError, match="nobody answers"):
            await next_of(voice, Notice)
        assert 60 <= asyncio.get_running_loop().time() <= 60 + 15

    server = play(scene, patience_s=60.0)
    assert 6 <= server.dials <= 12, "attempts are rare"


def test_one_can_hang_up_while_the_connection_is_lost() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.away = True
        server.socket.cut()
        await next_of(voice, Dropped)
        await voice.hang_up()
        assert [each async for each in voice] == []
        assert asyncio.get_running_loop().time() < 1.0

    play(scene)


def test_who_leaves_can_come_back_by_the_token() -> None:
    async def main() -> None:
        server = Server()
        async with talking(server) as voice:
            await voice.leave()
        assert server.socket.closed.code == 1001
        ready = voice.ready
        async with talking(server, session=ready.session, token=ready.token) as voice:
            assert voice.ready.resumed == "live"

    run_virtual(main())


def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        raise KeyError("mine")

    server = Server()
    with pytest.raises(KeyError, match="mine"):
        play(scene, server)
    assert server.socket.closed.code == 1000


def test_a_program_that_does_not_read_stops_the_reading_and_not_the_memory() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        for _ in range(3_000):
            server.say(NOON)
        await asyncio.sleep(60.0)  # nor is the link taken for dead
        assert len(server.hellos) == 1
        assert server.socket.other.inbox.qsize() > 1_900
        for _ in range(3_000):
            await next_of(voice, Notice)
        await asyncio.sleep(60.0)
        assert len(server.hellos) == 1

    play(scene)


def test_a_server_that_says_nonsense_is_left() -> None:
    async def scene(server: Server, voice: VoiceClient) -> None:
        server.socket.other.take('{"type": "weather"}')
        with pytest.raises(WireError, match="weather"):
            await next_of(voice, Notice)

    assert play(scene).dials == 1
