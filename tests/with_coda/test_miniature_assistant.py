"""Each defect of the core is there: the assistant and its page.

A test that passes on both cores proves that the miniature is a fair stand-in; one that fails on a
later core tells that the core has been mended, and that a repair is not needed any more.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from core import ChatServer, Core, make_assistant, running, write_config
from defects import errors

NOT_AWAITABLE = r"str.*can't be (used in 'await' expression|awaited)"


@pytest.fixture
def home(coda_home: Path) -> Path:
    return coda_home


@asynccontextmanager
async def assistant(home: Path, ollama: ChatServer, **sections: Any) -> AsyncIterator[Any]:
    made = make_assistant(write_config(home, ollama_url=ollama.url, **sections))
    async with running(made):
        yield made


async def test_no_text_is_answered(home: Path, ollama: ChatServer) -> None:
    async with assistant(home, ollama) as made:
        result = await made.process_text_message("hello", metadata={"a": 1})
        assert result["status"] == "error"
        assert result["metadata"] == {"a": 1}
        with pytest.raises(TypeError, match=NOT_AWAITABLE):
            raise TypeError(result["error"])
        assert ollama.bodies == []


def mend_personality(made: Any) -> None:
    async def enhance_input(text: str) -> str:
        return text

    async def update_from_interaction(*_said: str) -> None:
        """Learns nothing."""

    made.personality_manager.enhance_input = enhance_input
    made.personality_manager.update_from_interaction = update_from_interaction


async def test_with_two_repairs_text_is_answered_by_an_object(
    home: Path, ollama: ChatServer
) -> None:
    async with assistant(home, ollama) as made:
        mend_personality(made)
        result = await made.process_text_message("hello", session_id="s")
        assert result["status"] == "success"
        assert result["response"].content == "Hello there."
        history = made.session_manager.get_session_history("s")
        assert [(each["role"], each["metadata"]["modality"]) for each in history] == [
            ("user", "text"),
            ("assistant", "text"),
        ]
        conversation = await made.llm_manager.conversation_manager.get_conversation("s")
        assert len(conversation.messages) == 2
        turns = made.memory_manager.short_term.turns
        assert [turn.content for turn in turns] == ["[TEXT] hello", "Hello there."]


async def test_the_voice_of_the_core_fails_and_the_assistant_is_not_registered(
    home: Path, ollama: ChatServer
) -> None:
    async with assistant(home, ollama) as made:
        states = made.get_integration_status()["components"]
        assert states["voice"]["state"] == "failed"
        assert "assistant" not in states
        ready = ("memory", "llm", "personality", "tools", "event_bus")
        assert {states[name]["state"] for name in ready} == {"ready"}


async def test_the_dashboard_knows_no_assistant(home: Path, ollama: ChatServer) -> None:
    async with assistant(home, ollama) as made, aiohttp.ClientSession() as http:
        url = made.dashboard_server.get_dashboard_url()
        async with http.post(f"{url}/api/chat/message", json={"message": "hi"}) as answer:
            assert answer.status == 503
            assert (await answer.json())["error"] == "Assistant not available"
        async with http.get(f"{url}/api/chat/session") as answer:
            assert await answer.json() == {"session_id": None, "status": "no_session"}


async def test_the_dashboard_cannot_read_an_answer(home: Path, ollama: ChatServer) -> None:
    from coda.core.integration import ComponentType

    async with assistant(home, ollama) as made, aiohttp.ClientSession() as http:
        mend_personality(made)
        names = ("process_text_message",)
        facade = type("Facade", (), {name: getattr(made, name) for name in names})
        made.integration_layer.register_component(ComponentType.ASSISTANT, facade)
        url = made.dashboard_server.get_dashboard_url()
        async with http.post(f"{url}/api/chat/message", json={"message": "hi"}) as answer:
            assert answer.status == 500
            assert "has no attribute 'get'" in (await answer.json())["error"]


async def test_a_websocket_of_the_settings_is_wired_to_nothing(
    home: Path, ollama: ChatServer
) -> None:
    async with assistant(home, ollama, websocket={"enabled": True}) as made:
        assert made.websocket_server.running
        assert not made.websocket_integration.is_active
        assert not getattr(made.websocket_server, "integration_handler", None)
        assert made.event_coordinator.websocket_clients == []


class Voice:
    """A voice of somebody else's, as the core wants it."""

    async def start_conversation(self, user_id: Any = None, conversation_id: Any = None) -> str:
        return str(conversation_id)

    async def process_voice_input(self, conversation_id: str, audio_data: bytes) -> Any:
        from coda.components.voice.models import VoiceResponse

        return VoiceResponse(
            response_id="r",
            conversation_id=conversation_id,
            message_id="m",
            text_content="what was said",
            audio_data=b"\0\0",
            processing_mode="hybrid",
            total_latency_ms=1.0,
        )

    async def process_voice_stream(self, conversation_id: str, audio_stream: Any) -> Any:
        from coda.components.voice.models import VoiceStreamChunk

        async for audio in audio_stream:
            yield VoiceStreamChunk(
                conversation_id=conversation_id,
                chunk_index=0,
                audio_data=audio,
                text_content="word",
                is_complete=True,
            )

    async def end_conversation(self, conversation_id: str) -> None:
        """Nothing is kept."""


async def test_a_spoken_turn_is_remembered_twice_and_thought_about_alone(
    home: Path, ollama: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with assistant(home, ollama) as made:
        made.voice_manager = Voice()
        await made.start_conversation("s")
        result = await made.process_voice_input(b"\0\0")
        assert result["status"] == "success"
        assert result["response"]["content"] == "Hello there."
        turns = [turn.content for turn in made.memory_manager.short_term.turns]
        answer = "Hello there."
        assert turns == ["what was said", answer, "[VOICE] what was said", answer]
        manager = made.llm_manager.conversation_manager
        assert await manager.get_conversation("s") is None
        history = made.session_manager.get_session_history("s")
        assert history[1]["metadata"]["has_audio_output"] == b"\0\0"
    assert "Object of type bytes is not JSON serializable" in errors(caplog)


async def test_a_stream_is_read_by_names_that_its_chunks_do_not_have(
    home: Path, ollama: ChatServer
) -> None:
    async def sound() -> AsyncIterator[bytes]:
        yield b"\0\0"

    async with assistant(home, ollama) as made:
        made.voice_manager = Voice()
        await made.start_conversation("s")
        told = [each async for each in made.process_voice_stream(sound())]
        assert [each["response"] for each in told] == [
            {"content": "word", "audio_data": b"\0\0", "text_delta": "", "is_final": False}
        ]


async def test_a_new_session_shows_other_words_or_fails(home: Path, ollama: ChatServer) -> None:
    async with assistant(home, ollama) as made:
        made.memory_manager.add_turn("user", "a secret")
        await made.start_conversation("s")
        with pytest.raises(TypeError, match="bad operand type for unary -"):
            await made.get_session_history("s")
        shown = await made.get_session_history("s", 5)
        assert [each["content"] for each in shown] == ["a secret"]


async def test_switching_ends_the_session_before(home: Path, ollama: ChatServer) -> None:
    async with assistant(home, ollama) as made:
        await made.start_conversation("a")
        assert not await made.switch_session("nobody's")
        await made.session_manager.create_session("b")
        assert await made.switch_session("b")
        assert made.session_manager.get_session("a")["status"] == "ended"
        assert not await made.switch_session("a")


async def test_a_restart_makes_a_manager_anew_and_the_layer_keeps_the_old(
    home: Path, ollama: ChatServer
) -> None:
    from coda.core.integration import ComponentType

    async with assistant(home, ollama) as made:
        before = made.memory_manager
        assert await made.recovery_manager._restart_component("memory")
        assert made.memory_manager is not before
        assert made.integration_layer.get_component(ComponentType.MEMORY) is before


async def test_a_voice_that_does_not_say_how_it_is_ails(home: Path, ollama: ChatServer) -> None:
    async with assistant(home, ollama) as made:
        made.voice_manager = object()
        health = made.recovery_manager.health_check_handlers
        assert not health["voice"]()
        assert not health["tools"]()
        assert health["memory"]()
        for _ in range(3):
            await made.recovery_manager._check_component_health("voice")
        assert "voice" in made.recovery_manager.degraded_mode_components
        made.voice_manager = None


async def test_the_watch_over_the_parts_outlives_the_assistant(
    home: Path, ollama: ChatServer
) -> None:
    async with assistant(home, ollama) as made:
        pass
    assert not made.recovery_manager.health_check_task.done()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_alerts_are_told_in_a_thread_without_a_loop(
    home: Path, ollama: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with assistant(home, ollama) as made:
        monitor = made.performance_monitor
        monitor.active_alerts.clear()
        told = ("probe", "cpu_percent", 99.0, "critical")
        thread = threading.Thread(target=monitor._generate_alert, args=told)
        thread.start()
        thread.join()
        gc.collect()
    assert "Alert callback error: no running event loop" in errors(caplog)


async def test_registering_the_assistant_itself_locks_the_door_from_inside() -> None:
    from coda.core.integration import ComponentIntegrationLayer, ComponentType

    layer = ComponentIntegrationLayer()

    class Assistant:
        async def shutdown(self) -> None:
            await layer.shutdown_all_components()

    layer.register_component(ComponentType.ASSISTANT, Assistant())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(layer.shutdown_all_components(), 0.2)


# The page.


def test_the_page_has_its_defects() -> None:
    from coda.interfaces.dashboard import server as dashboard

    folder = Path(dashboard.__file__).parent
    page = (folder / "index.html").read_text("utf-8")
    script = (folder / "dashboard.js").read_text("utf-8")
    assert "https://cdnjs.cloudflare.com" in page
    assert "new Chart(" in script
    assert "ws://${window.location.hostname}:8765" in script
    assert "innerHTML" in script
    behind = page.partition('id="chatMessages"')[2].partition('id="typingIndicator"')[0]
    assert behind.count("<div") - 1 < behind.count("</div")
    assert "chatMessages.insertBefore(" in script
    assert "window.dashboard = new CodaDashboard()" in script
    for name in ("chatInput", "sendButton", "chatMessages", "typingIndicator"):
        assert f'id="{name}"' in page


# The settings.


def test_unknown_settings_are_dropped(home: Path) -> None:
    from coda.core.config import load_config
    from coda.core.config_adapters import ConfigAdapter

    path = write_config(home, voice={"mode": "adaptive", "plugins": {"a": 1}})
    config = load_config(path)
    assert not hasattr(config.voice, "plugins")
    assert ConfigAdapter.adapt_config_for_component(config, "voice").mode.value == "moshi_only"
    assert config.websocket.enabled is False


def test_names_that_the_package_does_not_find_are_none() -> None:
    import coda

    assert coda.load_config is None
    assert coda.Config is None
    assert coda.ToolManager is None


async def test_the_host_of_the_miniature_freezes_by_saying_so(core: Core) -> None:
    """The real one stands still for ever: nobody tries that in a test."""
    if core.real:
        pytest.skip("the event loop would stand still for ever")
    from coda.components.voice.manager import VoiceManager

    with pytest.raises(AssertionError, match="event loop stands still"):
        await VoiceManager().start_conversation()
