"""The core's sessions: their ids, their files, and what becomes of those that have ended."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from .base import Patches, Repair, plain, write_json
from .probing import bare, fails, quiet, settle
from .session_ids import checked_id

logger = logging.getLogger(__name__)
MODULE = "coda.core.session_manager"


async def _unsaved(_session_id: str) -> None:
    return None


def _sessions(module: ModuleType, **sessions: Any) -> Any:
    """The core's sessions without a folder: nothing is saved."""
    return bare(
        module.SessionManager,
        sessions=sessions,
        active_sessions={},
        storage_path=Path(),
        _save_session=_unsaved,
    )


def _session(**more: Any) -> dict[str, Any]:
    return {
        "id": "probe",
        "status": "active",
        "message_count": 0,
        "metadata": {},
        "conversation_history": [],
        **more,
    }


def _takes_a_path(module: ModuleType) -> bool:
    sessions = _sessions(module)
    return not fails(lambda: settle(lambda: sessions.create_session("../probe")), ValueError)


def _check_ids(module: ModuleType, patches: Patches) -> None:
    original = module.SessionManager.create_session

    async def create_session(self: Any, session_id: Any = None, metadata: Any = None) -> Any:
        # some clients send "" for a new session
        given = checked_id(session_id) if session_id not in (None, "") else None
        return await original(self, given, metadata)

    patches.set(module.SessionManager, "create_session", create_session)


def _empties_what_ended(module: ModuleType) -> bool:
    sessions = _sessions(module, probe=_session(status="ended", conversation_history=["words"]))
    settle(lambda: sessions.create_session("probe"))
    history: list[Any] = sessions.sessions["probe"]["conversation_history"]
    return history != ["words"]


def _open_again(module: ModuleType, patches: Patches) -> None:
    original = module.SessionManager.create_session

    async def create_session(self: Any, session_id: Any = None, metadata: Any = None) -> Any:
        known = self.sessions.get(session_id) if session_id else None
        if known is None:
            return await original(self, session_id, metadata)
        known["status"] = "active"
        known.pop("ended_at", None)
        known["metadata"] = {**known.get("metadata", {}), **(metadata or {})}
        self.active_sessions[session_id] = True
        await self.update_session_activity(session_id)
        return session_id

    patches.set(module.SessionManager, "create_session", create_session)


def _keeps_bytes(module: ModuleType) -> bool:
    sessions = _sessions(module, probe=_session())
    settle(lambda: sessions.add_message_to_session("probe", "user", "", {"sound": b"\0"}))
    history = sessions.sessions["probe"]["conversation_history"]
    return fails(lambda: json.dumps(history), TypeError)


def _keep_no_bytes(module: ModuleType, patches: Patches) -> None:
    original = module.SessionManager.add_message_to_session

    async def add_message_to_session(
        self: Any, session_id: str, role: str, content: str, metadata: Any = None
    ) -> Any:
        return await original(self, session_id, role, content, plain(metadata or {}))

    patches.set(module.SessionManager, "add_message_to_session", add_message_to_session)


def _writes_in_place(module: ModuleType) -> bool:
    with TemporaryDirectory() as folder, quiet(module):
        file = Path(folder) / "probe.json"
        file.write_text("{}")
        sessions = bare(
            module.SessionManager,
            sessions={"probe": _session(broken=object())},
            storage_path=file.parent,
        )
        fails(lambda: settle(lambda: sessions._save_session("probe")), Exception)
        return fails(lambda: json.loads(file.read_text()), ValueError)


def _write_whole(module: ModuleType, patches: Patches) -> None:
    async def _save_session(self: Any, session_id: str) -> None:
        session = self.sessions.get(session_id)
        if session is None:
            return
        try:
            write_json(Path(self.storage_path) / f"{session_id}.json", plain(session))
        except (OSError, ValueError):
            logger.exception("session %s could not be saved", session_id)

    patches.set(module.SessionManager, "_save_session", _save_session)


REPAIRS = (
    Repair(
        "ended-sessions-are-emptied",
        "A message to a session that has ended, or was left for another one, wipes its history.",
        MODULE,
        _empties_what_ended,
        _open_again,
    ),
    # after the one above: a name is checked before it is looked up
    Repair(
        "session-ids-are-paths",
        "A client that calls its session '../x' writes files outside of the sessions' folder.",
        MODULE,
        _takes_a_path,
        _check_ids,
    ),
    Repair(
        "sound-breaks-session-files",
        "Bytes in a message's metadata make every later save of its session fail.",
        MODULE,
        _keeps_bytes,
        _keep_no_bytes,
    ),
    Repair(
        "session-files-are-torn",
        "A save that fails half-way leaves a damaged file, and the session is lost at restart.",
        MODULE,
        _writes_in_place,
        _write_whole,
    ),
)
