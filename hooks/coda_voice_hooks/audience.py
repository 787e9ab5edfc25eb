"""Who of Coda's WebSocket clients may see what: by session, and by what they asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_SESSIONS = 64
"""Sessions that one client may follow; the oldest is forgotten for a newer one."""


@dataclass(slots=True)
class Listener:
    """What one client follows."""

    sessions: dict[str, None] = field(default_factory=dict)
    """Ids in the order in which they came."""
    events: frozenset[str] | None = None
    """Types it wants to hear of; None: all."""


class Audience:
    """The clients of one server, and whose words they may read.

    A client sees a session that it talks in (by voice or in writing) or has subscribed to;
    nobody else's words reach it.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}

    def follow(self, client: str, session: str) -> None:
        """``client`` takes part in ``session`` from now on."""
        sessions = self._listeners.setdefault(client, Listener()).sessions
        sessions.pop(session, None)
        sessions[session] = None
        if len(sessions) > MOST_SESSIONS:
            del sessions[next(iter(sessions))]

    def leave(self, client: str) -> None:
        """``client`` has gone."""
        self._listeners.pop(client, None)

    def subscribe(self, client: str, wish: Mapping[str, Any]) -> str:
        """Take a ``subscribe`` message; return what is wrong with it, or an empty string.

        ``sessions``: ids to follow from now on. ``events``: types to be told of, or null for all.
        """
        sessions, events = wish.get("sessions", []), wish.get("events")
        if not _names(sessions) or not (events is None or _names(events)):
            return 'subscribe: "sessions" is a list of ids, "events" a list of types or null.'
        for session in sessions:
            self.follow(client, session)
        listener = self._listeners.setdefault(client, Listener())
        listener.events = None if events is None else frozenset(events)
        return ""

    def of(self, session: str, event: str = "") -> list[str]:
        """The clients that follow ``session`` and want to hear of ``event``."""
        return [
            client
            for client, listener in self._listeners.items()
            if session in listener.sessions and _wants(listener, event)
        ]

    def wants(self, client: str, event: str) -> bool:
        """Whether ``client`` has not filtered ``event`` out."""
        return _wants(self._listeners.get(client, Listener()), event)


def _wants(listener: Listener, event: str) -> bool:
    return not event or listener.events is None or event in listener.events


def _names(value: object) -> bool:
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes | Mapping)
        and all(isinstance(each, str) for each in value)
    )
