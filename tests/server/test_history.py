"""Conversations over HTTP: listed, searched, read, exported, deleted, and kept from strangers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from scripted import scripted_host

from coda_voice_plugin import EngineError, StoreError, Turn
from coda_voice_plugin.server import make_app
from coda_voice_plugin.session.recording import recording_path

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


@pytest_asyncio.fixture
async def open_door(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def opened(**settings: Any) -> Any:
            host = await stack.enter_async_context(scripted_host(tmp_path, **settings))
            client = await stack.enter_async_context(TestClient(TestServer(make_app(host))))
            return host, client

        yield opened


def said(index: int, user: str, assistant: str, **more: Any) -> Turn:
    return Turn(index, user, assistant, more.pop("generated", assistant), **more)


async def remember(host: Any, session: str, *turns: Turn) -> None:
    await host.store.begin(session, "ollama", "ear", "mouth", "mind")
    for turn in turns:
        await host.store.add_turn(session, turn)
    await host.store.end(session, "closed")


async def ids(client: Any, query: str = "") -> list[str]:
    answer = await client.get("/v1/sessions" + query)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return [each["id"] for each in (await answer.json())["sessions"]]


async def test_conversations_are_listed_newest_first_and_page_by_page(open_door: Any) -> None:
    host, client = await open_door()
    for number in range(5):
        await remember(host, f"s{number}", said(1, f"Question {number}?", "Answer."))
    await remember(host, "silent")
    assert await ids(client) == ["s4", "s3", "s2", "s1", "s0"], "nothing was said in 'silent'"
    first = await (await client.get("/v1/sessions?limit=2")).json()
    assert [each["title"] for each in first["sessions"]] == ["Question 4?", "Question 3?"]
    await client.delete("/v1/sessions/s3")  # the list goes on behind a deleted one
    assert await ids(client, f"?limit=2&before={first['next']}") == ["s2", "s1"]
    last = await (await client.get(f"/v1/sessions?limit=9&before={first['next']}")).json()
    assert last["next"] is None


async def test_a_search_finds_what_either_said_whatever_the_case(open_door: Any) -> None:
    host, client = await open_door()
    await remember(host, "a", said(1, "Hello", "Hi."), said(2, "Grüße aus KÖLN", "Schön."))
    await remember(host, "b", said(1, "Hello", "100% of Köln_ sleeps."))
    found = (await (await client.get("/v1/sessions", params={"q": "köln"})).json())["sessions"]
    assert [(each["id"], each["hit"]) for each in found] == [
        ("b", "100% of Köln_ sleeps."),
        ("a", "Grüße aus KÖLN"),
    ]
    assert found[1]["title"] == "Hello"
    assert await ids(client, "?q=0%25+of") == ["b"], "signs of SQL are only signs"
    assert await ids(client, "?q=nobody") == []


async def test_a_conversation_is_read_whole(open_door: Any) -> None:
    host, client = await open_door()
    await remember(host, "a", said(1, "Hello", "Hi.", timings_ms={"endpoint": 400.0}))
    whole = await (await client.get("/v1/sessions/a")).json()
    assert whole["session"]["turns"] == 1
    assert (whole["session"]["live"], whole["session"]["recording"]) == (False, False)
    assert whole["turns"][0]["timings_ms"] == {"endpoint": 400.0}


async def test_an_export_is_a_file_with_a_safe_name(open_door: Any) -> None:
    host, client = await open_door()
    await remember(host, 'evil"/../x', said(1, "Hello", "Hi."))
    answer = await client.get("/v1/sessions/evil%22%2F..%2Fx/export?format=json")
    assert answer.status == 200
    name = answer.headers["Content-Disposition"]
    assert name.startswith('attachment; filename="coda-')
    assert name.endswith('-evil__.._x.json"')
    assert (await answer.json())["turns"][0]["user"] == "Hello"


async def test_what_people_said_is_no_markup_in_an_export(open_door: Any) -> None:
    host, client = await open_door()
    wild = "<img src=x> *[a](b)* `c`\n# not a heading"
    await remember(host, "a", said(1, wild, "Hi_", generated="Hi_ there", interrupted=True))
    answer = await client.get("/v1/sessions/a/export?format=markdown")
    text = await answer.text()
    assert answer.content_type == "text/markdown"
    assert r"**You:** \<img src=x\> \*\[a\](b)\* \`c\` # not a heading" in text
    assert r"**Coda:** Hi\_ *(interrupted)*" in text


async def test_sound_is_exported_and_deleted_with_its_conversation(open_door: Any) -> None:
    host, client = await open_door()
    await remember(host, "a", said(1, "Hello", "Hi."))
    answer = await client.get("/v1/sessions/a/export?format=wav")
    assert answer.status == 404
    assert "not recorded" in (await answer.json())["message"]
    sound = recording_path(host.store.path, "a")
    sound.parent.mkdir(parents=True)
    sound.write_bytes(b"RIFF")
    answer = await client.get("/v1/sessions/a/export?format=wav")
    assert await answer.read() == b"RIFF"
    assert answer.headers["Content-Disposition"].endswith('-a.wav"')
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await (await client.get("/v1/sessions/a")).json())["session"]["recording"]
    assert (await client.delete("/v1/sessions/a")).status == 200
    assert not sound.exists()


async def test_a_deleted_conversation_is_gone_and_a_running_one_stays(open_door: Any) -> None:
    host, client = await open_door()
    await remember(host, "a", said(1, "Hello", "Hi."))
    host.sessions["a"] = object()
    answer = await client.delete("/v1/sessions/a")
    assert answer.status == 409
    assert "end it first" in (await answer.json())["message"]
    del host.sessions["a"]
    assert (await client.delete("/v1/sessions/a")).status == 200
    assert (await client.get("/v1/sessions/a")).status == 404
    assert await host.store.turns("a") == []
    assert (await client.delete("/v1/sessions/a")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions?limit=0",
        "/v1/sessions?limit=201",
        "/v1/sessions?before=-1",
        "/v1/sessions?before=" + "9" * 5000,
        "/v1/sessions?limit=²",
        "/v1/sessions?q=" + "x" * 201,
        "/v1/sessions/" + "x" * 129,
        "/v1/sessions/a%00b",
        "/v1/sessions/a/export?format=exe",
    ],
)
async def test_what_cannot_be_asked_is_told_in_a_sentence(open_door: Any, path: str) -> None:
    _, client = await open_door()
    answer = await client.get(path)
    assert answer.status == 400
    assert (await answer.json())["message"].endswith(".")


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/a", "/v1/choices"])
async def test_the_history_is_for_this_machine_alone(open_door: Any, path: str) -> None:
    host, client = await open_door()
    await remember(host, "a", said(1, "Hello", "Hi."))
    assert (await client.get(path)).status == 200
    for stranger in (ELSEWHERE, {"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = await client.get(path, headers=stranger)
        assert answer.status == 403, stranger
        assert "Hello" not in await answer.text()
    assert (await client.delete("/v1/sessions/a", headers=ELSEWHERE)).status == 403


async def test_the_history_can_be_for_everybody_or_for_nobody(open_door: Any) -> None:
    _, everybody = await open_door(server={"port": 0, "history": "all"})
    assert (await everybody.get("/v1/sessions", headers=ELSEWHERE)).status == 200
    _, nobody = await open_door(server={"port": 0, "history": "off"})
    answer = await nobody.get("/v1/sessions")
    assert answer.status == 403
    assert "server.history" in (await answer.json())["message"]


async def test_a_store_that_is_off_or_broken_says_so(
    open_door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, client = await open_door()
    monkeypatch.setattr(host.store, "enabled", False)
    assert await (await client.get("/v1/sessions")).json() == {
        "kept": False,
        "sessions": [],
        "next": None,
    }
    monkeypatch.undo()

    async def broken(*_: object, **__: object) -> None:
        raise StoreError("the disk is gone.")

    monkeypatch.setattr(host.store, "browse", broken)
    answer = await client.get("/v1/sessions")
    assert answer.status == 503
    assert (await answer.json())["message"] == "the disk is gone."


async def test_the_choices_are_told(open_door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, client = await open_door(conversation_mode="turn_based")
    choices = await (await client.get("/v1/choices")).json()
    assert choices["strategy"] == "scripted"
    assert choices["mode"] == "turn_based"
    assert choices["mode"] in choices["modes"]
    assert (choices["model"], choices["models"], choices["problem"]) == (None, [], None)

    class Mind:
        label = "ollama qwen3:8b"
        broken = False

        async def models(self) -> list[str]:
            if self.broken:
                raise EngineError("ollama", "does not answer.")
            return ["qwen3:8b", "llama3:8b"]

    host._engines["llm"] = Mind()
    choices = await (await client.get("/v1/choices")).json()
    assert (choices["model"], choices["models"]) == ("qwen3:8b", ["llama3:8b", "qwen3:8b"])
    monkeypatch.setattr(Mind, "broken", True)
    choices = await (await client.get("/v1/choices")).json()
    assert choices["models"] == []
    assert "does not answer" in choices["problem"]
