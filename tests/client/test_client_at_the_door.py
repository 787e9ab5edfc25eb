"""The client at the real door: sockets, sessions and scripted engines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from closing import close
from scripted import scripted_host

from coda_voice_plugin import BusyError, Host, ServerError
from coda_voice_plugin.client import Dropped, connect
from coda_voice_plugin.events import (
    Caption,
    Coding,
    Notice,
    SessionReady,
    Speech,
    SpeechEnd,
    TurnEnded,
)
from coda_voice_plugin.server import make_app

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await close(runner)


@asynccontextmanager
async def door(folder: Path, **settings: Any) -> AsyncIterator[tuple[Host, str]]:
    async with scripted_host(folder, **settings) as host, served(make_app(host)) as url:
        yield host, url


async def answer(voice: Any) -> tuple[bytes, list[str], Any]:
    """The sound, the captions and the turn of the next answer."""
    pcm, words = b"", []
    async with asyncio.timeout(30):
        async for event in voice:
            match event:
                case Speech(_, frame):
                    assert frame.start == len(pcm) // 2
                    pcm += frame.pcm
                case Caption(_, spoken):
                    words += [word.text for word in spoken]
                case TurnEnded(turn):
                    return pcm, words, turn
    raise AssertionError("no answer")


async def test_a_question_is_answered_and_heard_to_its_end(tmp_path: Path) -> None:
    async with door(tmp_path, answers=["It is noon."]) as (_, url), connect(url) as voice:
        await voice.send_text("What is the time?")
        pcm, words, turn = await answer(voice)
        assert (turn.user, turn.assistant) == ("What is the time?", "It is noon.")
        assert words == ["It", "is", "noon."]
        assert turn.heard_ms == pytest.approx(1000 * len(pcm) / 2 / voice.ready.output_rate)
        assert voice.played.samples == len(pcm) // 2


async def test_a_connection_that_breaks_in_mid_sentence_is_taken_up_again(tmp_path: Path) -> None:
    said = "one two three four five six seven eight nine ten."
    async with door(tmp_path, answers=[said]) as (_, url), connect(url) as voice:
        await voice.send_text("Count.")
        position, dropped = 0, 0
        async with asyncio.timeout(30):
            async for event in voice:
                match event:
                    case Speech(_, frame):
                        assert frame.start == position, "nothing is lost or repeated"
                        position = frame.end
                        if position > 12_000 and not dropped:
                            voice._connection._reading.abort()
                            dropped = 1
                    case Dropped():
                        dropped += 1
                    case SessionReady(resumed="live"):
                        dropped += 10
                    case SpeechEnd(_, samples):
                        assert samples == position
                    case TurnEnded(turn):
                        break
        assert dropped == 12
        assert (turn.assistant, turn.interrupted) == (said, False)


@pytest.mark.parametrize(("sent", "taken"), [("opus", "opus"), ("pcm16", "opus")])
async def test_sound_may_travel_as_opus(sent: Coding, taken: Coding, tmp_path: Path) -> None:
    async with (
        door(tmp_path, answers=["It is noon."]) as (_, url),
        connect(url, input=sent, output=[taken, "pcm16"]) as voice,
    ):
        assert (voice.ready.input, voice.ready.output) == (sent, taken)
        for _ in range(25):
            await voice.send_sound(bytes(640))
        await voice.send_text("What is the time?")
        pcm, _, turn = await answer(voice)
        assert turn.assistant == "It is noon."
        assert turn.heard_ms == pytest.approx(660, abs=60)
        assert max(pcm[1::2]) > 8, "it is not silence"


async def test_one_who_comes_too_late_is_told_that_it_is_busy(tmp_path: Path) -> None:
    async with (
        door(tmp_path, server={"port": 0, "max_sessions": 1}) as (_, url),
        connect(url),
    ):
        with pytest.raises(BusyError, match="places are taken"):
            async with connect(url):
                raise AssertionError("there was no place")


async def test_clients_may_share_what_connects_them(tmp_path: Path) -> None:
    async with (
        door(tmp_path, answers=["Yes."] * 4) as (_, url),
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
    ):

        async def call() -> None:
            async with connect(url, http=http) as voice:
                await voice.send_text("Are you there?")
                assert (await answer(voice))[2].assistant == "Yes."

        for _ in range(4):
            tasks.create_task(call())
    assert http.closed


async def test_a_mode_can_be_chosen(tmp_path: Path) -> None:
    async with door(tmp_path) as (_, url), connect(url) as voice:
        await voice.use_mode("turn_based")
        async with asyncio.timeout(10):
            async for event in voice:
                if isinstance(event, Notice):
                    break
        assert (event.kind, event.data) == ("mode", {"mode": "turn_based"})


async def test_nobody_at_the_address_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ServerError, match=r"nobody answers at ws://127\.0\.0\.1:1/v1/voice"):
        async with connect("http://127.0.0.1:1"):
            raise AssertionError


async def test_another_kind_of_server_is_told_apart() -> None:
    async with served(web.Application()) as url:
        with pytest.raises(ServerError, match=r"does not speak coda\.voice\.v1 \(status 404\)"):
            async with connect(url):
                raise AssertionError


async def test_the_example_of_the_documentation_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    (example,) = re.findall(r"```python\n(import asyncio.*?)```", text, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 14
    async with door(tmp_path, answers=["It is noon."]) as (_, url):
        code = example.replace("http://127.0.0.1:8766", url).replace("asyncio.run(main())", "")
        scope: dict[str, Any] = {}
        exec(code, scope)
        async with asyncio.timeout(30):
            await scope["main"]()
    assert capsys.readouterr().out == "It is noon.\n"
