"""The sessions of the assistant, one JSON file each."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

logger = logging.getLogger("coda.session_manager")


class SessionManager:
    def __init__(self, storage_path: Path | None = None, session_timeout_hours: int = 24) -> None:
        self.storage_path = storage_path if storage_path else Path("data/sessions")
        self.session_timeout = timedelta(hours=session_timeout_hours)
        self.sessions: dict[str, dict[str, Any]] = {}
        self.active_sessions: dict[str, bool] = {}
        self.storage_path.mkdir(exist_ok=True, parents=True)

    async def initialize(self) -> None:
        for file in self.storage_path.glob("*.json"):
            try:
                session = json.loads(file.read_text())
            except ValueError as error:
                logger.error("Failed to load session %s: %s", file.stem, str(error))
                continue
            self.sessions[file.stem] = session
            idle = datetime.now() - datetime.fromisoformat(session["last_activity"])
            fresh = idle <= self.session_timeout
            self.active_sessions[file.stem] = fresh and session["status"] == "active"

    async def create_session(
        self, session_id: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str:
        """An id that is known begins anew, without its history."""
        session_id = session_id if session_id is not None else str(uuid.uuid4())
        now = datetime.now().isoformat()
        self.sessions[session_id] = {
            "id": session_id,
            "created_at": now,
            "last_activity": now,
            "message_count": 0,
            "status": "active",
            "metadata": metadata or {},
            "memory_context": {},
            "conversation_history": [],
        }
        self.active_sessions[session_id] = True
        await self._save_session(session_id)
        return session_id

    async def end_session(self, session_id: str) -> bool:
        session = self.sessions.get(session_id)
        if session is None:
            return False
        session |= {"status": "ended", "ended_at": datetime.now().isoformat()}
        self.active_sessions[session_id] = False
        await self._save_session(session_id)
        return True

    async def update_session_activity(self, session_id: str) -> bool:
        session = self.sessions.get(session_id)
        if session is None:
            return False
        session["last_activity"] = datetime.now().isoformat()
        await self._save_session(session_id)
        return True

    async def add_message_to_session(
        self,
        session_id: str,
        role: str,
        content: str,
        metadata: dict[str, Any] | None = None,
    ) -> bool:
        session = self.sessions.get(session_id)
        if session is None:
            return False
        message = {"role": role, "content": content, "timestamp": datetime.now().isoformat()}
        session["conversation_history"].append(message | {"metadata": metadata or {}})
        session["message_count"] += 1
        return await self.update_session_activity(session_id)

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        return self.sessions.get(session_id)

    def list_sessions(self, active_only: bool = False) -> list[dict[str, Any]]:
        return [
            session
            for name, session in self.sessions.items()
            if self.active_sessions.get(name) or not active_only
        ]

    def get_session_history(
        self, session_id: str, limit: int | None = None
    ) -> list[dict[str, Any]]:
        history = self.sessions.get(session_id, {}).get("conversation_history", [])
        return history[-limit:] if limit else history

    async def _save_session(self, session_id: str) -> None:
        # The id may hold "..", and what json cannot write leaves half a file behind.
        file = self.storage_path / f"{session_id}.json"
        try:
            with file.open("w") as open_file:
                json.dump(self.sessions[session_id], open_file, indent=2)
        except Exception as error:
            logger.error("Failed to save session %s: %s", session_id, str(error))
