"""The door of the Realtime API: places, limits, and who is let in."""

from __future__ import annotations

import aiohttp
import pytest
from realtime_caller import Caller, calling, refusal, served, silence

from coda_voice_plugin.server.clients import Limits


async def test_all_places_are_taken() -> None:
    async with (
        served(server={"max_sessions": 1}) as server,
        calling(server),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/realtime") as ws,
    ):
        caller = Caller(ws)
        assert await caller.closed() == 1013
        assert caller.events[-1]["error"]["code"] == "busy"


async def test_who_sends_nothing_is_parted_with() -> None:
    async with served(server={"idle_s": 1}) as server, calling(server) as caller:
        assert await caller.closed() == 1000
        assert caller.events[-1]["error"]["code"] == "idle"
    async with served(server={"idle_s": 1}) as server, calling(server) as caller:
        await caller.append(silence(0.1))
        assert await caller.closed() == 1000
        assert caller.events[-1]["error"]["code"] == "idle"


@pytest.mark.parametrize("first", [True, False])
async def test_malformed_messages_are_counted(first: bool) -> None:
    limits = Limits(bad_messages=3)
    async with served(limits=limits) as server, calling(server) as caller:
        if not first:
            await caller.append(silence(0.1))
        for _ in range(3):
            await caller.ws.send_str("hello")
        assert await caller.closed() == 1008
        codes = [event["error"]["code"] for event in caller.of("error")]
        assert codes[-1] == "wire"


@pytest.mark.parametrize("first", [True, False])
async def test_a_message_may_be_too_large(first: bool) -> None:
    async with served(server={"max_message_bytes": 4_096}) as server, calling(server) as caller:
        if not first:
            await caller.append(silence(0.1))
        await caller.say("input_audio_buffer.append", audio="A" * 5_000)
        assert await caller.closed() == 1009


async def test_browsers_and_keys_are_welcome() -> None:
    names = ("realtime", "openai-insecure-api-key.sk-1")
    headers = {"Authorization": "Bearer sk-1", "OpenAI-Safety-Identifier": "x"}
    async with served() as server:
        async with calling(server, "/realtime?model=mine", protocols=names, headers=headers) as one:
            assert one.ws.protocol == "realtime"
            assert one.events[0]["session"]["model"] == "mine"
        async with calling(server) as other:
            assert other.events[0]["session"]["model"] == "scripted"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with calling(server, headers={"Origin": "https://elsewhere.example"}):
                pass
        async with aiohttp.ClientSession() as http:
            assert (await http.post(f"{server.url}/realtime")).status == 405


async def test_a_binary_message_is_no_json() -> None:
    async with served() as server, calling(server) as caller:
        await caller.ws.send_bytes(b"\0\0")
        assert await refusal(caller) == ("invalid_json", None)
