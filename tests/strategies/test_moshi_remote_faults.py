"""A line to a Moshi server that fails as it is told, and what of the line is heard here."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import numpy as np
import pytest
from moshi_far import Fault, far_moshi
from moshi_line import (
    QUICK,
    exchange,
    failing,
    in_order,
    line_to,
    loud,
    settings,
    talk,
    talking,
    tone,
    until,
)
from moshi_stock import free_port

from coda_voice_plugin import (
    BusyError,
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineMissingError,
    EngineTimeoutError,
    VoiceError,
    Word,
)
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.kyutai.frames import FRAME, RATE
from coda_voice_plugin.kyutai.hushed import HEARD
from coda_voice_plugin.kyutai.line import READER_S, Spoken
from coda_voice_plugin.strategies.moshi.connection import Deadlines, Server
from coda_voice_plugin.strategies.moshi.remote import Cut, Pieces, RemoteLine, open_remote


async def test_each_frame_is_answered_and_words_have_places() -> None:
    async with far_moshi() as far:
        far.texts = {1: [" It"], 3: [" is"], 4: [" no", "on"], 5: ["."], 8: ["<0xC3>", "<0xA9>"]}
        async with line_to(far.url) as line:
            heard = await exchange(line, tone(12))
    assert in_order(heard)
    assert all(loud(each) for each in heard)
    assert [(n, word) for n, each in enumerate(heard) for word in each.words] == [
        (3, Word("It", 1 * FRAME, 2 * FRAME)),
        (5, Word("is", 3 * FRAME, 4 * FRAME)),
        (7, Word("noon.", 4 * FRAME, 6 * FRAME)),
        (10, Word("é", 8 * FRAME, 9 * FRAME)),
    ]
    assert [each.talking for each in heard] == [False, False] + 10 * [True]


async def test_the_address_may_carry_a_query() -> None:
    async with far_moshi() as far, line_to(far.url + "?text_temperature=0.5&room=7"):
        assert far.visits[0].query == {"text_temperature": "0.5", "room": "7"}


async def test_nobody_there_is_told_at_once() -> None:
    time = asyncio.get_running_loop().time
    began = time()
    with pytest.raises(
        EngineDownError, match=r"Connect call failed.*start `python -m moshi\.server` there"
    ):
        async with line_to(f"ws://me:secret@127.0.0.1:{free_port()}/api/chat?key=1") as line:
            assert line
    assert time() - began < 0.5


async def test_the_address_is_told_without_its_secrets() -> None:
    shown = Server("wss://me:secret@moshi.example:8998/api/chat?key=1").shown
    assert shown == "wss://moshi.example:8998/api/chat"


@pytest.mark.parametrize("path", ["/", "/api/nothing"])
async def test_a_wrong_path_is_told(path: str) -> None:
    async with far_moshi() as far:
        with pytest.raises(EngineGarbledError, match=r"HTTP 404.*/api/chat \(moshi.url\)"):
            async with line_to(far.url.replace("/api/chat", path)):
                pass


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b""])
async def test_another_program_is_told(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EngineGarbledError if answer else EngineDownError):
            async with line_to(f"ws://127.0.0.1:{port}/api/chat"):
                pass


async def test_a_machine_that_does_not_answer_is_told() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    quick = Deadlines(connect_s=0.1)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EngineTimeoutError, match=r"within 0.1 s; is that machine on"):
            async with open_remote(settings(f"ws://127.0.0.1:{port}/api/chat"), quick):
                pass


@pytest.mark.parametrize(
    ("fault", "kind", "match"),
    [
        (Fault(status=503), BusyError, "all places"),
        (Fault(status=502), EngineDownError, "HTTP 502"),
        (Fault(status=401), EngineGarbledError, "HTTP 401"),
        (Fault(greeting=None), BusyError, "one caller at a time"),
        (Fault(greeting=b"\1OggS"), EngineGarbledError, "without the handshake"),
        (Fault(greeting="hello"), EngineGarbledError, "a text message"),
        (Fault(greeting=b""), EngineGarbledError, "this one is empty"),
    ],
)
async def test_a_server_that_does_not_let_us_in(
    fault: Fault, kind: type[VoiceError], match: str
) -> None:
    time = asyncio.get_running_loop().time
    async with far_moshi(fault) as far:
        began = time()
        with pytest.raises(kind, match=match):
            async with line_to(far.url):
                pass
        assert time() - began < QUICK.greeting_s + 0.2
        await until(lambda: far.open == 0)


async def test_versions_after_the_handshake_are_as_good() -> None:
    """Rust's server tells them."""
    async with far_moshi(Fault(greeting=bytes(9))) as far, line_to(far.url) as line:
        assert in_order(await exchange(line, tone(2)))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(after=5, drop=True),
        Fault(after=5, close=1000),
        Fault(after=5, close=1011),
        Fault(after=5, close=1013),
        Fault(after=5, silent=True),
    ],
    ids=["reset", "closed", "broken", "busy", "silent"],
)
async def test_a_lost_connection_is_had_again_and_the_line_goes_on(fault: Fault) -> None:
    async with far_moshi(fault) as far, line_to(far.url) as line, talking(line) as heard:
        await until(lambda: len(far.visits) == 2 and len(heard) >= 12)
    assert in_order(heard)
    assert len(far.visits[0].heard) >= 5


async def test_the_place_may_still_be_ours_when_we_come_back() -> None:
    """A stock server notices late that its caller has gone: it greets when it has."""
    faults = (Fault(after=3, drop=True), Fault(greeting=None), Fault(greeting=None))
    async with far_moshi(*faults) as far, line_to(far.url, 2_000) as line, talking(line) as heard:
        await until(lambda: len(heard) >= 8)
    assert len(far.visits) == 4


async def test_a_server_that_is_gone_ends_the_line_after_the_deadline() -> None:
    time = asyncio.get_running_loop().time
    heard: list[Spoken] = []
    async with far_moshi() as far, line_to(far.url, 300) as line:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(failing(talk(line, heard, 0.01)))
            await until(lambda: len(heard) >= 3)
            await far.stop()
            began = time()
            error = await task
        assert 0.25 < time() - began < 1.0
    assert isinstance(error, EngineDownError)
    assert "lost in mid-call, and for 0.3 s not to be had again" in str(error)


async def test_a_server_that_drops_every_connection_is_given_up() -> None:
    faults = [Fault(after=0, drop=True) for _ in range(100)]
    async with far_moshi(*faults) as far, line_to(far.url, 300) as line:
        error = await failing(talk(line, [], 0.01))
    assert isinstance(error, EngineDownError)
    assert len(far.visits) < 20


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (b"\1" + bytes(300), "no Ogg/Opus stream"),
        (b"", "this one is empty"),
        (b"\2\xff\xfe", "must be UTF-8"),
        ("text", "a text message"),
    ],
)
async def test_garbage_ends_the_line(says: bytes | str, match: str) -> None:
    async with far_moshi(Fault(says=says)) as far, line_to(far.url) as line:
        error = await failing(talk(line, [], 0.01))
    assert isinstance(error, EngineGarbledError)
    assert match in str(error)
    assert len(far.visits) == 1


@pytest.mark.parametrize("says", [b"\3\0", b"\4{}", b"\6", b"\7\5colour", b"\0", b"\2</s>"])
async def test_kinds_that_are_not_used_are_left_out(says: bytes) -> None:
    async with far_moshi(Fault(says=says)) as far, line_to(far.url) as line:
        heard = await exchange(line, tone(6))
    assert in_order(heard)
    assert not [word for each in heard for word in each.words]


async def test_what_the_server_reports_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with far_moshi(Fault(says=b"\5out of memory")) as far, line_to(far.url) as line:
        assert in_order(await exchange(line, tone(6)))
    assert "the Moshi server reports: out of memory" in caplog.text


async def test_words_cannot_be_given() -> None:
    async with far_moshi() as far, line_to(far.url) as line:
        assert not line.can_say
        with pytest.raises(EngineError, match="cannot be given words"):
            line.say("Hello.")


async def test_a_hushed_line_is_silent_until_the_user_has_spoken() -> None:
    async with far_moshi() as far:
        far.texts = {n: [" word"] for n in range(30)}
        async with line_to(far.url) as line:
            assert all(loud(each) for each in await exchange(line, tone(3)))
            line.hush()
            quiet = await exchange(line, tone(6, level=0.001))
            during = await exchange(line, tone(HEARD - 1))
            after = await exchange(line, tone(3))
    assert not any(loud(each) or each.words or each.talking for each in quiet + during)
    assert all(loud(each) and each.words for each in after[1:])
    assert quiet[0].start == 3 * FRAME, "its places go on"


async def test_it_may_be_made_to_wait_for_the_user_but_not_to_begin_with_given_words() -> None:
    async with far_moshi() as far:
        config = settings(far.url)
        waits = config.model_copy(
            update={"moshi": config.moshi.model_copy(update={"opening": "listen"})}
        )
        async with open_remote(waits, QUICK) as line:
            quiet = await exchange(line, np.zeros(4 * FRAME, np.float32))
            await exchange(line, tone(HEARD))
            after = await exchange(line, tone(4))
        assert not any(loud(each) for each in quiet)
        assert all(loud(each) for each in after)
        says = config.model_copy(
            update={"moshi": config.moshi.model_copy(update={"opening": "hello there"})}
        )
        with pytest.raises(EngineError, match="cannot be given words"):
            async with open_remote(says, QUICK):
                pass


def test_what_begins_while_held_is_not_heard_and_what_had_begun_goes_on() -> None:
    cut = Cut()
    place = 0

    def take(sound: Floats) -> bool:
        nonlocal place
        spoken = cut.take(Spoken(place, sound))
        place += FRAME
        return loud(spoken)

    quiet = np.zeros(FRAME, np.float32)
    assert take(tone(1))
    cut.held = True
    assert all(take(tone(1)) for _ in range(5)), "it had begun"
    assert not any(take(quiet) for _ in range(10))
    assert not any(take(tone(1)) for _ in range(3)), "it began while held"
    cut.held = False
    assert not take(tone(1)), "it is not begun in its middle"
    assert not any(take(quiet) for _ in range(10))
    assert take(tone(1))


def test_pieces_of_several_words_in_one_frame_do_not_overlap() -> None:
    pieces = Pieces()
    pieces.push(" early")  # before any sound
    words: list[Word] = []
    for _ in range(3):
        pieces.push(" a")
        pieces.push(" b")
        words += pieces.frame()[0]
    words += [word for _ in range(3) for word in pieces.frame()[0]]
    assert [word.text for word in words] == ["early", *"ababab"]
    assert all(word.start < word.end for word in words)


async def test_pushing_never_waits_and_old_sound_is_dropped_and_counted() -> None:
    line = RemoteLine(Server("ws://nobody/api/chat"))
    for _ in range(100):
        line.push(tone(1))
    assert line.arrivals.frames == 4
    assert line.arrivals.dropped == 96


async def test_speech_that_nobody_takes_ends_the_line() -> None:
    line = RemoteLine(Server("ws://nobody/api/chat"))
    line.hear(np.zeros(round(READER_S * RATE), np.float32))
    with pytest.raises(EngineError, match="was not taken for 10 seconds"):
        line.hear(np.zeros(FRAME, np.float32))


async def test_closing_ends_what_is_spoken() -> None:
    async with far_moshi() as far, line_to(far.url) as line:
        heard = await exchange(line, tone(2))
        line.close()
        line.push(tone(1))
        assert [each async for each in line.spoken()] == []
    assert len(heard) == 2


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.15])
async def test_a_call_that_is_cancelled_leaves_nothing_behind(after_s: float) -> None:
    before = set(asyncio.all_tasks())
    async with far_moshi(Fault(after=2, drop=True)) as far:

        async def call() -> None:
            async with line_to(far.url) as line:
                await talk(line, [], 0.01)

        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(call())
            await asyncio.sleep(after_s)
            calling.cancel()
        assert calling.cancelled()
        await until(lambda: far.open == 0)
        await until(lambda: not [t for t in threading.enumerate() if t.name.startswith("opus")])
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before


async def test_an_error_of_the_call_comes_out_as_itself() -> None:
    async with far_moshi() as far:
        with pytest.raises(ZeroDivisionError):
            async with line_to(far.url):
                raise ZeroDivisionError


async def test_without_opus_the_caller_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sphn", None)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[kyutai\]"):
        async with line_to("ws://127.0.0.1:1/api/chat"):
            pass
