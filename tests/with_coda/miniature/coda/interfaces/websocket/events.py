"""The catalogue of events for clients. Five types have no class and are never sent."""

from __future__ import annotations

import time
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field, create_model


class EventType(str, Enum):
    SYSTEM_INFO = "system_info"
    SYSTEM_ERROR = "system_error"
    SYSTEM_METRICS = "system_metrics"
    STT_START = "stt_start"
    STT_INTERIM = "stt_interim"
    STT_RESULT = "stt_result"
    STT_ERROR = "stt_error"
    LLM_START = "llm_start"
    LLM_TOKEN = "llm_token"
    LLM_RESULT = "llm_result"
    LLM_ERROR = "llm_error"
    TTS_START = "tts_start"
    TTS_PROGRESS = "tts_progress"
    TTS_RESULT = "tts_result"
    TTS_ERROR = "tts_error"
    TTS_STATUS = "tts_status"
    MEMORY_STORE = "memory_store"
    MEMORY_RETRIEVE = "memory_retrieve"
    MEMORY_UPDATE = "memory_update"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    TOOL_ERROR = "tool_error"
    CONVERSATION_START = "conversation_start"
    CONVERSATION_TURN = "conversation_turn"
    CONVERSATION_END = "conversation_end"
    COMPONENT_STATUS = "component_status"
    COMPONENT_ERROR = "component_error"
    COMPONENT_HEALTH = "component_health"
    SYSTEM_STATUS = "system_status"
    INTEGRATION_METRICS = "integration_metrics"
    LATENCY_TRACE = "latency_trace"
    COMPONENT_TIMING = "component_timing"
    COMPONENT_STATS = "component_stats"
    PERFORMANCE_ALERT = "performance_alert"
    PERFORMANCE_METRICS = "performance_metrics"
    REPLAY = "replay"


class BaseEvent(BaseModel):
    version: str = "1.0"
    seq: int
    timestamp: float = Field(default_factory=time.time)
    type: EventType
    session_id: str | None = None


KINDS: dict[str, Any] = {
    "str": str,
    "float": float,
    "int": int,
    "bool": bool,
    "any": Any,
    "dict": dict[str, Any],
    "floats": list[float],
    "strs": list[str],
}
CATALOGUE = {
    "system_info": "data:dict={}",
    "system_error": "level:str message:str details:dict?",
    "system_metrics": "memory_mb:float cpu_percent:float gpu_vram_mb:float? uptime_seconds:float",
    "stt_start": "mode:str",
    "stt_interim": "text:str confidence:float",
    "stt_result": "text:str confidence:float duration_ms:float language:str?",
    "stt_error": "error:str details:dict?",
    "llm_start": "prompt:str model:str temperature:float",
    "llm_token": "token:str cumulative_text:str",
    "llm_result": "text:str duration_ms:float token_count:int tokens_per_second:float",
    "llm_error": "error:str details:dict?",
    "tts_start": "text:str voice_id:str engine:str",
    "tts_progress": "progress_percent:float estimated_duration_ms:float?",
    "tts_result": "duration_ms:float audio_duration_ms:float success:bool",
    "tts_error": "error:str details:dict?",
    "tts_status": "status:str",
    "memory_store": "content_preview:str memory_type:str importance:float memory_id:str",
    "memory_retrieve": "query:str results_count:int relevance_scores:floats",
    "tool_call": "tool_name:str parameters:dict call_id:str",
    "tool_result": "tool_name:str call_id:str result:any duration_ms:float",
    "tool_error": "tool_name:str call_id:str error:str details:dict?",
    "conversation_start": "conversation_id:str",
    "conversation_turn": "conversation_id:str turn_number:int user_input:str "
    "assistant_response:str",
    "conversation_end": "conversation_id:str total_turns:int duration_seconds:float",
    "component_status": "component_type:str state:str initialization_order:int? "
    "dependencies:strs={}",
    "component_error": "component_type:str error_message:str error_count:int state:str=failed",
    "component_health": "component_type:str health_status:dict",
    "system_status": "total_components:int ready_components:int failed_components:int "
    "integration_health:str components:dict",
    "integration_metrics": "is_active:bool websocket_server_available:bool "
    "event_handlers_registered:bool total_events_processed:int",
    "latency_trace": "component:str operation:str duration_ms:float metadata:dict?",
    "component_timing": "component:str timings:dict",
}
"""The fields of each: ``name:kind``, ``?`` where it may be left out, ``=`` and what it then is."""


def _field(told: str) -> tuple[str, Any]:
    name, _, kind = told.partition(":")
    kind, has_default, default = kind.partition("=")
    if kind.endswith("?"):
        return name, (KINDS[kind[:-1]] | None, None)
    if default == "{}":
        return name, (KINDS[kind], Field(default_factory=list if kind == "strs" else dict))
    return name, (KINDS[kind], default if has_default else ...)


EVENT_CLASS_MAP: dict[EventType, type[BaseEvent]] = {
    EventType(name): create_model(
        name,
        __base__=BaseEvent,
        type=(EventType, EventType(name)),
        **dict(map(_field, fields.split())),
    )
    for name, fields in CATALOGUE.items()
}


def create_event(event_type: EventType, seq: int, **kwargs: Any) -> BaseEvent:
    made = EVENT_CLASS_MAP.get(event_type)
    if made is None:
        raise ValueError(f"Unsupported event type: {event_type}")
    return made(seq=seq, **kwargs)
