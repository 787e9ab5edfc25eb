"""One conversation, whether it is typed or spoken: Coda's sessions and the voice share it.

The voice begins with what Coda's session holds, hears of what is typed meanwhile, and writes
what was really said and heard back, once, marked with ``modality: voice``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from coda_voice_plugin import Call, Message, Turn, hookimpl
from coda_voice_plugin.events import Notice, ServerEvent

from .figures import Figures, total

logger = logging.getLogger(__name__)

OURS = "coda_voice"
"""``metadata["source"]`` of the messages that we write."""
REMEMBERED = 40
"""Newest messages of a session that the mind is given when the voice begins."""
MOST_SESSIONS = 200
"""Sessions whose figures are kept; of older ones only the sum."""
_ROLES = ("user", "assistant")


class Sessions(Protocol):
    """What is used of Coda's ``SessionManager``."""

    def get_session(self, session_id: str) -> dict[str, Any] | None: ...

    async def create_session(
        self, session_id: str | None = None, metadata: dict[str, Any] | None = None
    ) -> str: ...

    async def add_message_to_session(
        self, session_id: str, role: str, content: str, metadata: dict[str, Any] | None = None
    ) -> bool: ...

    async def update_session_activity(self, session_id: str) -> bool: ...

    def get_session_history(
        self, session_id: str, limit: int | None = None
    ) -> list[dict[str, Any]]: ...


class TextConversations(Protocol):
    """What is used of Coda's ``ConversationManager``, which its text chat reads."""

    async def add_message(self, conversation_id: str, message: Any) -> None: ...


class ConversationHooks:
    """Keeps Coda's sessions and the calls of the voice one conversation each.

    ``write(role, content)`` makes a message of the kind that ``find_text`` takes.
    """

    def __init__(
        self,
        find: Callable[[], Sessions | None],
        find_text: Callable[[], TextConversations | None] = lambda: None,
        write: Callable[[str, str], Any] = lambda role, content: None,
    ) -> None:
        self._find = find
        self._find_text = find_text
        self._write = write
        self._calls: dict[str, Call] = {}
        self._asked: dict[str, Message] = {}
        """What was typed in a session that is not answered yet."""
        self._figures: dict[str, Figures] = {}
        self._earlier = Figures()

    # What the voice tells.

    @hookimpl
    async def session_started(self, call: Call) -> None:
        self._calls[call.id] = call
        self._figures.setdefault(call.id, Figures())
        if len(self._figures) > MOST_SESSIONS:
            oldest = next(iter(self._figures))
            self._earlier = total((self._earlier, self._figures.pop(oldest)))
        sessions = self._find()
        if sessions is None:
            return
        if sessions.get_session(call.id) is None:
            await sessions.create_session(call.id, {"modality": "voice"})
        elif earlier := list(_messages(sessions.get_session_history(call.id, REMEMBERED))):
            call.retell(earlier)

    @hookimpl
    async def turn_completed(self, call: Call, turn: Turn) -> None:
        self._figures.setdefault(call.id, Figures()).add(turn)
        for role, content in (("user", turn.user), ("assistant", turn.assistant)):
            if content:
                await self._record(call.id, role, content, _about(turn, role))

    @hookimpl
    def event_sent(self, call: Call, event: ServerEvent) -> None:
        if not isinstance(event, Notice):
            return
        figures = self._figures.setdefault(call.id, Figures())
        figures.fallbacks += event.kind == "fallback"
        figures.tools += event.kind == "tool_call"
        figures.remembered += event.kind == "memory_retrieve" and bool(event.data["results_count"])

    @hookimpl
    async def session_ended(self, call: Call) -> None:
        if self._calls.get(call.id) is call:
            del self._calls[call.id]
        self._asked.pop(call.id, None)
        sessions = self._find()
        session = sessions.get_session(call.id) if sessions is not None else None
        if sessions is None or session is None:
            return
        session.setdefault("metadata", {})["voice"] = self._figures[call.id].as_data()
        await sessions.update_session_activity(call.id)

    # What Coda tells.

    def added(self, session: str, role: str, content: str, metadata: Mapping[str, Any]) -> None:
        """A message was added to one of Coda's sessions. A call of that session learns of an
        exchange when its answer is there; what we wrote ourselves it knows."""
        call = self._calls.get(session)
        if call is None or metadata.get("source") == OURS:
            return
        if role == "user":
            self._asked[session] = Message("user", content)
        elif role == "assistant":
            asked = self._asked.pop(session, None)
            answer = Message("assistant", content)
            call.overheard([answer] if asked is None else [asked, answer])

    # What is asked for.

    def figures(self, session: str | None = None) -> Figures:
        """Of one session, or of all since the voice was opened."""
        if session is not None:
            return self._figures.get(session, Figures())
        return total((self._earlier, *self._figures.values()))

    @property
    def conversations(self) -> int:
        """Sessions in which somebody talked or began to."""
        return len(self._figures)

    async def _record(self, session: str, role: str, content: str, about: dict[str, Any]) -> None:
        sessions, text = self._find(), self._find_text()
        if sessions is not None:
            known = await sessions.add_message_to_session(session, role, content, about)
            if not known:
                logger.warning("Coda knows no session %s: a turn is not in its history", session)
        if text is not None:
            await text.add_message(session, self._write(role, content))


def _messages(history: list[dict[str, Any]]) -> list[Message]:
    """A session of Coda's as the mind reads it, whole exchanges only."""
    found: list[Message] = []
    for each in history:
        role, content = each.get("role"), each.get("content")
        if role in _ROLES and isinstance(content, str) and content:
            found.append(Message(_role(role), content))
    while found and found[0].role != "user":
        del found[0]
    return found


def _role(role: str) -> Literal["user", "assistant"]:
    return "user" if role == "user" else "assistant"


def _about(turn: Turn, role: str) -> dict[str, Any]:
    """What Coda keeps beside a message."""
    modality = "text" if turn.typed and role == "user" else "voice"
    about: dict[str, Any] = {"source": OURS, "modality": modality, "turn": turn.index}
    if role == "user":
        return {**about, "input_type": modality}
    return {
        **about,
        "response_type": "voice",
        "interrupted": turn.interrupted,
        "strategy": turn.strategy,
        "latency_ms": turn.timings_ms.get("first_audio"),
    }
