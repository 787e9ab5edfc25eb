"""OpenAI's agents framework against our own address: its realtime session, unmodified.

Opt-in, since it brings many packages: ``pip install openai-agents==0.24.0``, then this file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from realtime_caller import DEADLINE_S, served, speech

from coda_voice_plugin import ToolCall

agents = pytest.importorskip("agents", reason="opt-in: pip install openai-agents==0.24.0")

LISTENS = {
    "input": {
        "transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
    }
}


def said(session: Any) -> list[tuple[str, str]]:
    """The conversation as the framework keeps it."""
    return [
        (item.role, content.transcript or "")
        for item in session._history
        if getattr(item, "role", "") in ("user", "assistant")
        for content in item.content
        if getattr(content, "transcript", None)
    ]


async def until(session: Any, wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        async for event in session:
            if wanted(event):
                return event
    raise AssertionError("the session has ended")


@pytest.mark.filterwarnings("default")
async def test_an_agent_hears_speaks_and_uses_its_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.realtime import RealtimeAgent, RealtimeRunner

    monkeypatch.setitem(os.environ, "OPENAI_AGENTS_DISABLE_TRACING", "1")
    asked: list[str] = []

    @agents.function_tool
    def weather(city: str) -> str:
        """Tells the weather."""
        asked.append(city)
        return f"sunny in {city}"

    script = [["It is noon."], ["Let me look. ", ToolCall("weather", {"city": "Rome"})], ["Sunny."]]
    async with served(script, ["what is the time"]) as server:
        agent = RealtimeAgent(name="Coda", instructions="Be brief.", tools=[weather])
        settings = {"model_name": "coda", "audio": LISTENS}
        runner = RealtimeRunner(agent, config={"model_settings": settings})
        url = server.url.replace("http", "ws") + "/realtime"
        session = await runner.run(model_config={"url": url, "api_key": "unused"})
        async with session:
            await session.send_audio(speech())
            await until(session, lambda event: event.type == "agent_end")
            assert ("assistant", "It is noon.") in said(session)
            await session.send_message("Weather in Rome?")
            await until(session, lambda event: event.type == "tool_end")
            await until(session, lambda event: event.type == "agent_end")
    assert asked == ["Rome"]
    assert server.asked[0][-1] == ("user", "what is the time")
