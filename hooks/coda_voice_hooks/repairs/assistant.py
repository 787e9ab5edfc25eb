"""The core's assistant: what it makes of a spoken turn, and whom it tells of a typed one."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from types import ModuleType
from typing import Any

from .audience import tell_event
from .base import Patches, Repair, local_time
from .probing import Silent, anything, bare, beside, quiet, settle

MODULE = "coda.core.assistant"
PIPELINE = "voice_processing_pipeline"
_LOCK = "_coda_voice_session_lock"


def _lock_of(assistant: Any) -> asyncio.Lock:
    """Held while an assistant's one current session must stay what it is."""
    lock: asyncio.Lock = vars(assistant).setdefault(_LOCK, asyncio.Lock())
    return lock


async def _nothing(*_given: Any, **_named: Any) -> None:
    return None


class _Asked:
    """A model that is asked."""

    def __init__(self) -> None:
        self.times = 0

    async def generate_response(self, *_given: Any, **_named: Any) -> Any:
        self.times += 1
        return anything(content="probe")


async def _heard(**_given: Any) -> Any:
    return anything(text_content="probe", audio_data=b"")


async def _same(session_id: Any) -> Any:
    return session_id


def _answers_twice(module: ModuleType) -> bool:
    model = _Asked()
    assistant = bare(
        module.CodaAssistant,
        logger=Silent(),
        current_session_id="probe",
        voice_manager=anything(process_voice_input=_heard),
        llm_manager=model,
        memory_manager=None,
        session_manager=anything(add_message_to_session=_nothing),
        voice_conversations={"probe": "probe"},
        _get_or_create_voice_conversation=_same,
        _get_conversation_context=_nothing,
    )
    process = beside(module.CodaAssistant.process_voice_input, emit_event=_nothing)
    with quiet(module):
        settle(lambda: process(assistant, b"\0\0"))
    return model.times > 0


def _answer_once(module: ModuleType, patches: Patches) -> None:
    async def process_voice_input(
        self: Any, audio_data: bytes, session_id: str | None = None, metadata: Any = None
    ) -> dict[str, Any]:
        begun = time.monotonic()
        about = {"input_type": "voice", "component": "assistant"}
        await module.emit_event(
            module.EventType.LLM_GENERATION_START,
            {"session_id": session_id or self.current_session_id, **about},
        )
        session = self.current_session_id
        try:
            session = await _switched(self, session_id)
            heard = await _heard_by_voice(self, audio_data, session)
        except Exception as error:  # the core's callers read errors from the result
            self.logger.exception("Voice input could not be answered")
            failure = {"error": str(error), "session_id": session}
            await module.emit_event(
                module.EventType.SYSTEM_ERROR, {**failure, **about, "pipeline": PIPELINE}
            )
            return {**failure, "status": "error", **_ending(begun, metadata)}
        answer = {
            "response": {
                "content": heard.text_content,
                "audio_data": heard.audio_data,
                "extracted_text": getattr(heard, "user_text", ""),
            },
            "session_id": session,
            "status": "success",
            "voice_processing": {
                "moshi_latency_ms": getattr(heard, "moshi_latency_ms", 0),
                "total_latency_ms": getattr(heard, "total_latency_ms", 0),
                "processing_mode": str(getattr(heard, "processing_mode", "unknown")),
            },
            **_ending(begun, metadata),
        }
        told = {key: answer[key] for key in ("session_id", "processing_time_ms", "status")}
        await module.emit_event(module.EventType.LLM_GENERATION_COMPLETE, {**told, **about})
        return answer

    patches.set(module.CodaAssistant, "process_voice_input", process_voice_input)


async def _switched(assistant: Any, session_id: str | None) -> str:
    """The session that is asked for, made the current one."""
    async with _lock_of(assistant):
        if session_id and session_id != assistant.current_session_id:
            if not await assistant.switch_session(session_id):
                await assistant.start_conversation(session_id)
        elif assistant.current_session_id is None:
            await assistant.start_conversation()
        return str(assistant.current_session_id)


async def _heard_by_voice(assistant: Any, audio: bytes, session: str) -> Any:
    """What the voice makes of the sound."""
    if not assistant.voice_manager:
        raise RuntimeError("Voice processing not available - voice manager not initialized")
    conversation = await assistant._get_or_create_voice_conversation(session)
    return await assistant.voice_manager.process_voice_input(
        conversation_id=conversation, audio_data=audio
    )


def _ending(begun: float, metadata: Any) -> dict[str, Any]:
    """The part of a result that is the same whether it went well or not."""
    return {
        "input_type": "voice",
        "processing_time_ms": 1000 * (time.monotonic() - begun),
        "pipeline": PIPELINE,
        "metadata": metadata or {},
        "timestamp": local_time(),
    }


def _shows_other_conversations(module: ModuleType) -> bool:
    asked: list[Any] = []

    async def recall(*given: Any, **_named: Any) -> list[Any]:
        asked.append(given)
        return []

    assistant = bare(
        module.CodaAssistant,
        logger=Silent(),
        session_manager=anything(
            get_session=lambda _session: {}, get_session_history=lambda *_given: []
        ),
        memory_manager=anything(get_session_history=recall),
    )
    with quiet(module):
        settle(lambda: assistant.get_session_history("probe"))
    return bool(asked)


def _show_its_own(module: ModuleType, patches: Patches) -> None:
    original = module.CodaAssistant.get_session_history

    async def get_session_history(self: Any, session_id: str, limit: int | None = None) -> Any:
        if self.session_manager.get_session(session_id) is not None:
            return self.session_manager.get_session_history(session_id, limit)
        return await original(self, session_id, limit)

    patches.set(module.CodaAssistant, "get_session_history", get_session_history)


def _mixes_sessions(module: ModuleType) -> bool:
    assistant = bare(
        module.CodaAssistant, logger=Silent(), current_session_id=None, conversation_active=True
    )

    async def switch(session_id: str) -> bool:
        assistant.current_session_id = session_id
        return True

    async def answer(*_given: Any, **_named: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"session_id": assistant.current_session_id}

    assistant.switch_session, assistant.process_input = switch, answer
    process = beside(module.CodaAssistant.process_text_message, emit_event=_nothing)

    async def both() -> set[Any]:
        answers = await asyncio.gather(*(process(assistant, "probe", name) for name in "ab"))
        return {answer["session_id"] for answer in answers}

    with quiet(module):
        return settle(both) != {"a", "b"}


def _take_turns(module: ModuleType, patches: Patches) -> None:
    original = module.CodaAssistant.process_text_message

    async def process_text_message(
        self: Any, message: str, session_id: str | None = None, metadata: Any = None
    ) -> Any:
        async with _lock_of(self):
            return await original(self, message, session_id, metadata)

    patches.set(module.CodaAssistant, "process_text_message", process_text_message)


def _tells_no_turn(module: ModuleType) -> bool:
    told: list[Any] = []

    async def hear(kind: Any, *_more: Any, **_named: Any) -> None:
        told.append(kind)

    assistant = bare(
        module.CodaAssistant,
        logger=Silent(),
        running=True,
        conversation_active=True,
        current_session_id="probe",
        session_manager=anything(
            update_session_activity=_nothing,
            add_message_to_session=_nothing,
            get_session_history=lambda *_given: [],
        ),
        personality_manager=None,
        memory_manager=None,
        llm_manager=_Asked(),
        websocket_server=anything(broadcast_event=hear),
        event_coordinator=anything(websocket_clients=[anything(broadcast_event=hear)]),
    )
    process = beside(module.CodaAssistant.process_input, emit_event=_nothing)
    with quiet(module):
        settle(lambda: process(assistant, "probe"))
    return not told


def _tell_turns(module: ModuleType, patches: Patches) -> None:
    original = module.CodaAssistant.process_input

    async def process_input(
        self: Any, input_text: str, input_type: str = "text", metadata: Any = None
    ) -> Any:
        result = await original(self, input_text, input_type, metadata)
        if result.get("status") == "success":
            await _tell_turn(self, input_text, result)
        return result

    patches.set(module.CodaAssistant, "process_input", process_input)


async def _tell_turn(assistant: Any, asked: str, result: dict[str, Any]) -> None:
    """Tell the clients of the WebSocket of an exchange that is complete."""
    kinds = import_module("coda.interfaces.websocket.events").EventType
    session, answer = result["session_id"], result["response"]
    history = assistant.session_manager.get_session_history(session)
    turn = {
        "conversation_id": session,
        "turn_number": sum(line["role"] == "user" for line in history),
        "user_input": asked,
        "assistant_response": str(getattr(answer, "content", answer)),
    }
    tokens, lasted = getattr(answer, "completion_tokens", 0), getattr(answer, "response_time_ms", 0)
    for server in assistant.event_coordinator.websocket_clients:
        if not hasattr(server, "broadcast_event"):
            continue
        await tell_event(server, kinds.CONVERSATION_TURN, turn, session)
        if tokens and lasted:
            figures = {
                "text": turn["assistant_response"],
                "duration_ms": lasted,
                "token_count": tokens,
                "tokens_per_second": 1000 * tokens / lasted,
            }
            await tell_event(server, kinds.LLM_RESULT, figures, session)


REPAIRS = (
    Repair(
        "voice-is-answered-twice",
        "What the voice answered is put to the language model as if the user had said it.",
        MODULE,
        _answers_twice,
        _answer_once,
    ),
    Repair(
        "new-sessions-show-other-words",
        "The history of a session without messages fails, or shows those of other sessions.",
        MODULE,
        _shows_other_conversations,
        _show_its_own,
    ),
    Repair(
        "two-clients-share-a-session",
        "Messages of two clients that type at once are answered and kept in the wrong session.",
        MODULE,
        _mixes_sessions,
        _take_turns,
    ),
    Repair(
        "typed-turns-are-not-told",
        "No WebSocket client hears of a typed exchange: the event comes before the answer.",
        MODULE,
        _tells_no_turn,
        _tell_turns,
    ),
)
