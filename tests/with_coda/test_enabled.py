"""A whole assistant of Coda's with a voice: its core asks, recovers, and reads settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks import VoiceManager, enable
from core import ChatServer, make_assistant, running, write_config
from human_speech import FOLDER, NEEDED
from spoken import QUESTION, Script, plugin, settings, speech, wav
from voiced import FRAME, Ear, client, said, speak, start, voiced

from coda_voice_plugin import ConfigError

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED)


async def test_what_is_there_is_joined_and_what_is_not_is_said(
    coda_home: Path, ollama: ChatServer
) -> None:
    async with voiced(coda_home, ollama, personality={"enabled": False}) as (assistant, joined, _):
        assert "memory" in joined.attached
        assert "personality" not in joined.attached
        assert "without personality: it speaks in its own manner" in joined.summary()
        assert isinstance(assistant.voice_manager, VoiceManager)
        assert joined.why_not == ""
        assert enable(assistant) is joined


async def test_what_was_said_is_remembered_after_a_restart(
    coda_home: Path, ollama: ChatServer
) -> None:
    script = Script()
    script.heard.append("My sister Anna lives in Lisbon.")
    async with voiced(coda_home, ollama, script) as (assistant, _, _):
        session = await assistant.start_conversation()
        await assistant.process_voice_input(wav(speech()), session_id=session)
        await asyncio.sleep(0.5)
    script = Script()
    script.heard.append("Where does my sister Anna live?")
    config = settings(hooks={"deadline_ms": 5_000})
    async with voiced(coda_home, ollama, script, config) as (assistant, _, _):
        session = await assistant.start_conversation()
        await assistant.process_voice_input(wav(speech()), session_id=session)
    assert any("Lisbon" in text for text in script.texts())


async def test_talking_changes_the_personality(coda_home: Path, ollama: ChatServer) -> None:
    script = Script()
    script.heard += ["That is great, I love it."] * 3
    async with voiced(coda_home, ollama, script) as (assistant, _, _):
        before = assistant.personality_manager.get_personality_state()["parameters"]
        session = await assistant.start_conversation()
        for _ in range(3):
            await assistant.process_voice_input(wav(speech()), session_id=session)
        await asyncio.sleep(0.2)
        after = assistant.personality_manager.get_personality_state()["parameters"]
        assert after["empathy"]["value"] > before["empathy"]["value"]


async def test_a_clip_is_heard_and_answered_once(coda_home: Path, ollama: ChatServer) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, script):
        session = await assistant.start_conversation()
        result = await assistant.process_voice_input(wav(speech()), session_id=session)
        assert result["status"] == "success", result
        assert result["response"]["content"] == "It is noon."
        assert result["response"]["extracted_text"] == QUESTION
        assert result["response"]["audio_data"][:4] == b"RIFF"
        assert said(assistant, session) == [
            ("user", QUESTION, "voice"),
            ("assistant", "It is noon.", "voice"),
        ]
        assert len(script.asked) == 1
        assert not ollama.bodies
        assert assistant.memory_manager.short_term.get_stats()["total_turns"] == 2


async def test_a_stream_is_answered_in_chunks_of_both_generations(
    coda_home: Path, ollama: ChatServer
) -> None:
    async def microphone() -> AsyncIterator[bytes]:
        pcm = speech()
        for at in range(0, len(pcm), 3_200):
            yield pcm[at : at + 3_200]
            await asyncio.sleep(0.1)

    async with voiced(coda_home, ollama) as (assistant, _, _script):
        session = await assistant.start_conversation()
        chunks = [each async for each in assistant.process_voice_stream(microphone(), session)]
        assert not [each for each in chunks if "error" in each], chunks[-1]
        assert "".join(each["response"]["text_delta"] for each in chunks) == "It is noon."
        assert chunks[-1]["response"]["is_final"]
        assert sum(len(each["response"]["audio_data"] or b"") for each in chunks) > 8_000
        manager = assistant.voice_manager
        direct = [each async for each in manager.process_voice_stream(session, microphone())]
        last = direct[-1]
        assert (last.is_complete, last.is_final) == (True, True)
        assert last.accumulated_text == "It is noon."
        assert [each.sequence_number for each in direct] == [each.chunk_index for each in direct]


async def test_the_voice_manager_answers_everything_the_core_asks(
    coda_home: Path, ollama: ChatServer
) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, _script):
        manager = assistant.voice_manager
        name = await manager.start_conversation("somebody", "s1")
        await assistant.process_voice_input(wav(speech()), session_id="s1")
        assert "s1" in await manager.get_active_conversations()
        state = await manager.get_conversation_state(name)
        assert (state.user_id, state.message_count, state.is_active) == ("somebody", 1, True)
        analytics = await manager.get_analytics()
        assert (analytics.total_conversations, analytics.total_messages) == (1, 1)
        assert analytics.average_latency_ms > 0
        status = await manager.get_system_status()
        assert (status["healthy"], status["mode"]) == (True, "traditional")
        assert manager.is_healthy()
        assert (await manager.health_check())["status"] == "healthy"
        await manager.end_conversation("s1")
        assert await manager.get_conversation_state("s1") is None
        result = await assistant.process_voice_input(b"odd", session_id="s1")
        assert result["status"] == "error"
        assert "WAV" in result["error"]


async def test_recovery_opens_the_voice_again(coda_home: Path, ollama: ChatServer) -> None:
    async with voiced(coda_home, ollama) as (assistant, joined, script):
        from coda.core.integration import ComponentType

        old = assistant.voice_manager
        session = await assistant.start_conversation()
        assert await assistant.recovery_manager._restart_component("voice")
        assert assistant.voice_manager is not old
        assert not old.is_healthy()
        assert assistant.voice_manager.is_healthy()
        layer = assistant.integration_layer
        assert layer.get_component(ComponentType.VOICE) is assistant.voice_manager
        assert layer.components[ComponentType.VOICE].state.value == "ready"
        async with client(assistant) as socket:
            ear = Ear(socket)
            await start(socket, session)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(speak(socket, speech() + bytes(50 * FRAME)))
                await ear.until("audio_response")
        assert script.asked
        assert joined.host is assistant.voice_manager.host


async def test_recovery_of_the_memory_reaches_the_voice(
    coda_home: Path, ollama: ChatServer
) -> None:
    async with voiced(coda_home, ollama) as (assistant, _, _script):
        old = assistant.memory_manager
        assert await assistant.recovery_manager._restart_component("memory")
        assert assistant.memory_manager is not old
        session = await assistant.start_conversation()
        await assistant.process_voice_input(wav(speech()), session_id=session)
        assert assistant.memory_manager.short_term.get_stats()["total_turns"] == 2


async def test_a_voice_that_cannot_open_leaves_coda_its_text(
    coda_home: Path, ollama: ChatServer
) -> None:
    config = settings(llm="nobody")
    async with voiced(coda_home, ollama, config=config) as (assistant, joined, _):
        assert "no llm named 'nobody'" in joined.why_not
        assert "the voice does not speak" in joined.summary()
        assert not assistant.voice_manager.is_healthy()
        result = await assistant.process_text_message("Hello?")
        assert result["status"] == "success"
        spoken = await assistant.process_voice_input(wav(speech()), result["session_id"])
        assert spoken["status"] == "error"
        assert "nobody" in spoken["error"]
        async with client(assistant) as socket:
            ear = Ear(socket)
            await start(socket, "s1")
            trouble = await ear.until("audio_error")
            assert "nobody" in trouble["error"]
            await joined._announce()
            failed = await ear.until("component_error")
            assert "nobody" in failed["error_message"]


async def test_a_voice_can_be_given_to_an_assistant_that_runs(
    coda_home: Path, ollama: ChatServer
) -> None:
    path = write_config(coda_home, ollama_url=ollama.url, websocket={"enabled": True})
    from coda_voice_hooks.repairs import repair

    repair()
    assistant = make_assistant(path)
    script = Script()
    async with running(assistant):
        attachment = enable(assistant, settings(), plugins=[("scripted", plugin(script))])
        await attachment.join()
        session = await assistant.start_conversation()
        result = await assistant.process_voice_input(wav(speech()), session_id=session)
        assert result["response"]["content"] == "It is noon."
        async with client(assistant) as socket:
            await start(socket, session)
            await Ear(socket).until("audio_session_started")


async def test_everything_that_was_begun_ends(coda_home: Path, ollama: ChatServer) -> None:
    before = set(asyncio.all_tasks())
    async with voiced(coda_home, ollama) as (assistant, _, _script), client(assistant) as socket:
        await start(socket, "s1")
        await Ear(socket).until("audio_session_started")
        ours = [task for task in asyncio.all_tasks() if _is_ours(task)]
        assert len(ours) >= 3
    assert not [task for task in set(asyncio.all_tasks()) - before if _is_ours(task)]


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "coda_voice_" in code.co_filename


@pytest.mark.parametrize(
    ("voice", "says"),
    [
        ({"mode": "telepathy"}, "moshi_only, hybrid, traditional, adaptive"),
        ({"moode": "hybrid"}, "moode"),
        ({"external_llm": {"model": "llama3.1:70b - instruct - q4_K_M"}}, "put spaces into"),
        ({"plugins": {"settings": {"coda": {"repairs_of": []}}}}, "coda.repairs_of"),
        ({"plugins": {"settings": {"coda": {"repairs_off": ["typos"]}}}}, "no repair is named"),
    ],
)
async def test_a_damaged_voice_section_is_explained(
    coda_home: Path, voice: dict[str, Any], says: str
) -> None:
    path = write_config(coda_home, voice=voice)
    with pytest.raises(ConfigError, match=says):
        enable(make_assistant(path), path)


async def test_a_config_without_a_voice_section_takes_the_defaults(coda_home: Path) -> None:
    import yaml

    path = write_config(coda_home)
    document = yaml.safe_load(path.read_text())
    del document["voice"]
    path.write_text(yaml.safe_dump(document))
    attachment = enable(make_assistant(path), path)
    assert "no voice: section" in attachment.chosen.notes[0]
    assert attachment.chosen.config.llm == "coda"
