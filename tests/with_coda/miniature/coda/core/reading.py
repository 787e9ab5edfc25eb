"""What the assistant tells of its sessions and parts: methods of its class."""

from __future__ import annotations

import itertools
import logging
from typing import Any

from .integration import ComponentType

logger = logging.getLogger("coda.assistant")


def get_session_info(self: Any, session_id: str) -> dict[str, Any] | None:
    return self.session_manager.get_session(session_id)


def list_sessions(self: Any) -> list[dict[str, Any]]:
    return self.session_manager.list_sessions()


def get_active_sessions(self: Any) -> list[dict[str, Any]]:
    return self.session_manager.list_sessions(active_only=True)


async def get_session_history(
    self: Any, session_id: str, limit: int | None = None
) -> list[dict[str, Any]]:
    """Of an empty session, that of the memory: which takes no None for a limit."""
    own = self.session_manager.get_session_history(session_id, limit)
    if own or self.memory_manager is None:
        return own
    return await self.memory_manager.get_session_history(session_id, limit)


async def get_multimodal_session_history(
    self: Any, session_id: str, limit: int = 10
) -> list[dict[str, Any]]:
    try:
        history = await self.get_session_history(session_id, limit)
    except Exception as error:
        logger.error("Failed to get multimodal session history: %s", str(error))
        return []
    return [
        message
        | {
            "modality": (message.get("metadata") or {}).get("modality", "text"),
            "session_id": session_id,
            "supports_multimodal": True,
        }
        for message in history
    ]


async def get_session_modality_stats(self: Any, session_id: str) -> dict[str, Any]:
    history = await self.get_multimodal_session_history(session_id)
    kinds = [message["modality"] for message in history]
    asked = [message["modality"] for message in history if message["role"] == "user"]
    text, voice = kinds.count("text"), kinds.count("voice")
    return {
        "session_id": session_id,
        "total_messages": len(kinds),
        "text_messages": text,
        "voice_messages": voice,
        "text_percentage": 100 * text / len(kinds) if kinds else 0,
        "voice_percentage": 100 * voice / len(kinds) if kinds else 0,
        "is_multimodal": bool(text and voice),
        "primary_modality": "voice" if voice > text else "text",
        "modality_switches": sum(a != b for a, b in itertools.pairwise(asked)),
    }


def get_event_history(
    self: Any, limit: int | None = None, event_type: str | None = None
) -> list[dict[str, Any]]:
    return self.event_coordinator.get_event_history(limit, event_type)


def get_integration_status(self: Any) -> dict[str, Any]:
    return self.integration_layer.get_integration_status()


def get_component(self: Any, component_type: str) -> Any:
    known = [kind.value for kind in ComponentType]
    if component_type.lower() not in known:
        return None
    return self.integration_layer.get_component(ComponentType(component_type.lower()))
