"""Conversations on disk: sessions and their turns, in one SQLite file.

A call that returns has committed: the database runs in WAL mode with
``synchronous=FULL``, so an acknowledged turn survives ``kill -9`` and a power cut.
Every access is made by one thread of the store's own, never by the event loop.

When the file cannot be written (disk full, locked, gone), the call raises
StoreError and the write stays in memory, in order; the next write tries all of
them again. At most :data:`MOST_PENDING` writes wait; then new ones are refused, so
that what was kept is not lost for what comes later.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import DataError, IntegrityError, InterfaceError, ProgrammingError
from typing import Any, TypeVar

from ..errors import StoreError
from ..events import Turn
from ..threads import ModelThread
from .database import BUSY_S, conflict, explain, prepare

logger = logging.getLogger(__name__)
R = TypeVar("R")

MOST_PENDING = 10_000
"""Writes that wait in memory while the file cannot be written."""
LONGEST_ID = 128
"""Characters of a session id."""
# The columns of a turn are the fields of Turn, by name; a test holds that.
_TURN_FIELDS = tuple(field.name for field in fields(Turn))
_TURN_COLUMNS = ", ".join(f'"{name}"' for name in _TURN_FIELDS)
_SESSION_COLUMNS = (
    "id, started, ended, reason, strategy, stt, tts, llm, "
    "(SELECT count(*) FROM turns WHERE session = id)"
)
_LAST = 2**63 - 1
_HOPELESS = (IntegrityError, ProgrammingError, InterfaceError, DataError, OverflowError)
"""Errors of one write that would come again however often it is tried."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One conversation as the store knows it. Times are UTC."""

    id: str
    started: datetime
    ended: datetime | None
    reason: str | None
    """Why it ended."""
    strategy: str
    stt: str
    tts: str
    llm: str
    turns: int
    """How many are stored."""
    cut_off: bool
    """It never ended, and this store did not begin it: its program was killed, or
    another program that shares the file still holds it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation in the list of what was said."""

    record: SessionRecord
    place: int
    """Grows with every session; what :meth:`Store.browse` takes as ``before``."""
    title: str
    """The first words of the user; empty when only the assistant spoke."""
    hit: str | None
    """The line in which the searched text stands first; None without a search."""


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn and where it is from."""

    session: str
    stored: datetime
    """When it was over; UTC."""
    turn: Turn


@dataclass(slots=True)
class _Write:
    what: str
    sql: str
    values: tuple[object, ...]
    same: str | None = None
    """Finds out whether exactly this was stored before."""
    error: StoreError | None = None


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """``sessions.db`` in the user's data directory (XDG)."""
    home = environ.get("XDG_DATA_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path("~/.local/share").expanduser()
    return base / "coda-voice" / "sessions.db"


@asynccontextmanager
async def open_store(path: Path | None = None, *, enabled: bool = True) -> AsyncIterator[Store]:
    """Open the store, making the file if there is none; close it when the block ends.

    With ``enabled=False`` nothing is written and nothing is found. Raises StoreError
    when the file cannot be used, and at the end when writes are still pending.
    """
    store = Store((path or default_path()).expanduser(), enabled=enabled)
    try:
        if enabled:
            await store._on_thread(store._connected)
        yield store
    except BaseException:
        with suppress(StoreError):  # the block's own error is the one to tell
            await store.flush()
        raise
    else:
        await store.flush()
    finally:
        await store._close()


class Store:
    """Sessions and turns. Made by :func:`open_store`."""

    def __init__(self, path: Path, *, enabled: bool = True) -> None:
        self.path = path
        self.enabled = enabled
        self._thread = ModelThread("store")
        self._backlog: deque[_Write] = deque()
        self._begun: set[str] = set()
        # Touched by the store's thread alone:
        self._database: sqlite3.Connection | None = None

    @property
    def pending(self) -> int:
        """Writes that are not on disk yet."""
        return len(self._backlog)

    async def begin(
        self,
        session_id: str,
        strategy: str,
        stt: str,
        tts: str,
        llm: str,
        *,
        key: str | None = None,
    ) -> None:
        """Note that a session began. Raises StoreError.

        ``key`` is what who goes on with it must prove to know; None: its id is enough.
        """
        if not 0 < len(session_id) <= LONGEST_ID or not session_id.isprintable():
            raise StoreError(f"a session id is 1 to {LONGEST_ID} printable characters.")
        self._begun.add(session_id)
        await self._write(
            f"session {session_id}",
            "INSERT INTO sessions (id, started, strategy, stt, tts, llm, key) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (session_id, _now(), strategy, stt, tts, llm, key),
        )

    async def key(self, session_id: str) -> str | None:
        """What :meth:`begin` was given as the session's key; None for an unknown one.
        Raises StoreError."""
        rows = await self._read("SELECT key FROM sessions WHERE id = ?", (session_id,))
        return rows[0][0] if rows else None

    async def resume(self, session_id: str, *, key: str | None = None) -> list[Turn] | None:
        """Open a session again that was begun before; return its turns, or None if there is
        no such session. Raises StoreError. ``key`` replaces that of a session that has one."""
        known = await self._read("SELECT 1 FROM sessions WHERE id = ?", (session_id,))
        if not known:
            return None
        self._begun.add(session_id)
        await self._write(
            f"session {session_id}",
            "UPDATE sessions SET ended = NULL, reason = NULL, "
            "key = CASE WHEN key IS NULL THEN NULL ELSE coalesce(?, key) END WHERE id = ?",
            (key, session_id),
        )
        return await self.turns(session_id)

    async def add_turn(self, session_id: str, turn: Turn) -> None:
        """Keep a finished turn; on disk when this returns. Raises StoreError.

        Giving the same turn again does no harm: it is stored once.
        """
        timings = json.dumps({name: float(value) for name, value in turn.timings_ms.items()})
        columns = {name: getattr(turn, name) for name in _TURN_FIELDS} | {"timings_ms": timings}
        marks = ", ".join("?" * len(columns))
        await self._write(
            f"turn {turn.index} of session {session_id}",
            f"INSERT INTO turns (session, stored, {_TURN_COLUMNS}) VALUES (?, ?, {marks})",
            (session_id, _now(), *columns.values()),
            # with the same values in the same order: when it was stored makes no difference
            f"SELECT 1 FROM turns WHERE session = ? AND ? <> '' AND ({_TURN_COLUMNS}) IS ({marks})",
        )

    async def end(self, session_id: str, reason: str) -> None:
        """Note that a session is over. Raises StoreError."""
        await self._write(
            f"end of session {session_id}",
            "UPDATE sessions SET ended = ?, reason = ? WHERE id = ? AND ended IS NULL",
            (_now(), reason, session_id),
        )
        self._begun.discard(session_id)

    async def flush(self) -> None:
        """Write what is pending. Raises StoreError when that fails."""
        if self._backlog:
            await self._on_thread(self._flush)

    async def sessions(self, limit: int = 50) -> list[SessionRecord]:
        """The latest sessions, newest first. Raises StoreError."""
        rows = await self._read(
            f"SELECT {_SESSION_COLUMNS} FROM sessions ORDER BY rowid DESC LIMIT ?", (limit,)
        )
        return [self._session(row) for row in rows]

    async def session(self, session_id: str) -> SessionRecord | None:
        """One session; None for an unknown one. Raises StoreError."""
        rows = await self._read(
            f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE id = ?", (session_id,)
        )
        return self._session(rows[0]) if rows else None

    async def browse(
        self, text: str = "", *, limit: int = 50, before: int | None = None
    ) -> list[Found]:
        """The latest sessions in which ``text`` was said or heard, newest first; without
        text those in which anything was. ``before`` goes on behind an earlier list. Case does
        not matter. Raises StoreError."""
        folded = text.casefold()
        said = "FROM turns WHERE session = id AND (holds(user, :text) OR holds(assistant, :text))"
        first = 'ORDER BY "index" LIMIT 1'
        rows = await self._read(
            f"SELECT rowid, (SELECT user FROM turns WHERE session = id AND user <> '' {first}), "
            f"(SELECT CASE WHEN holds(user, :text) THEN user ELSE assistant END {said} {first}), "
            f"{_SESSION_COLUMNS} FROM sessions WHERE rowid < :before AND EXISTS (SELECT 1 {said}) "
            "ORDER BY rowid DESC LIMIT :limit",
            {"text": folded, "before": _LAST if before is None else before, "limit": limit},
        )
        return [
            Found(self._session(row[3:]), row[0], row[1] or "", row[2] if folded else None)
            for row in rows
        ]

    async def delete(self, session_id: str) -> None:
        """Forget a session and its turns; an unknown one is no error. Raises StoreError."""
        await self._write(
            f"deletion of session {session_id}", "DELETE FROM sessions WHERE id = ?", (session_id,)
        )
        self._begun.discard(session_id)

    async def turns(self, session_id: str) -> list[Turn]:
        """All stored turns of a session, in order; empty for an unknown one. Raises StoreError."""
        rows = await self._read(
            f'SELECT {_TURN_COLUMNS} FROM turns WHERE session = ? ORDER BY "index"',
            (session_id,),
        )
        return [_turn(row) for row in rows]

    async def search(self, text: str, limit: int = 50) -> list[StoredTurn]:
        """Turns in which ``text`` was said or heard, newest first; case does not matter."""
        rows = await self._read(
            f"SELECT session, stored, {_TURN_COLUMNS} FROM turns "
            "WHERE holds(user, ?) OR holds(assistant, ?) ORDER BY rowid DESC LIMIT ?",
            (text.casefold(), text.casefold(), limit),
        )
        return [StoredTurn(row[0], datetime.fromisoformat(row[1]), _turn(row[2:])) for row in rows]

    async def _write(
        self, what: str, sql: str, values: tuple[object, ...], same: str | None = None
    ) -> None:
        if not self.enabled:
            return
        if len(self._backlog) >= MOST_PENDING:
            raise StoreError(
                f"{what} is not kept: {len(self._backlog)} writes to {self.path} already wait; "
                "make the file writable."
            )
        write = _Write(what, sql, tuple(map(_storable, values)), same)
        # Noted before the thread is asked: a caller who is cancelled loses nothing.
        self._backlog.append(write)
        await self._on_thread(self._flush)
        if write.error is not None:
            raise write.error

    async def _read(
        self, sql: str, values: tuple[object, ...] | dict[str, object]
    ) -> list[tuple[Any, ...]]:
        if not self.enabled:
            return []
        return await self._on_thread(lambda: self._connected().execute(sql, values).fetchall())

    async def _on_thread(self, work: Callable[[], R]) -> R:
        return await self._thread.run(self._guarded, work)

    # From here on: the store's thread, except for _close and _session.

    def _guarded(self, work: Callable[[], R]) -> R:
        try:
            return work()
        except sqlite3.Error as error:
            self._disconnect()  # the next attempt begins with a fresh connection
            raise StoreError(explain(error, self.path) + self._waiting()) from error
        except OSError as error:
            raise StoreError(
                f"the session store {self.path} cannot be opened: {error.strerror}; "
                f"name another file with store.path.{self._waiting()}"
            ) from error

    def _waiting(self) -> str:
        waiting = len(self._backlog)
        return f" Writes kept in memory and tried again: {waiting}." if waiting else ""

    def _connected(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.exists():
            # What people said is theirs alone; SQLite gives its side files the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            prepare(database, self.path)
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def _flush(self) -> None:
        while self._backlog:
            write = self._backlog[0]
            try:
                self._connected().execute(write.sql, write.values)
            except _HOPELESS as error:
                if isinstance(error, OverflowError) or not self._is_stored(write):
                    write.error = StoreError(f"{write.what} is refused: {conflict(error)}.")
                    logger.warning("%s", write.error)
            self._backlog.popleft()

    def _is_stored(self, write: _Write) -> bool:
        """A caller who was cancelled, or a disk that failed late, may have stored it already."""
        if write.same is None:
            return False
        return self._connected().execute(write.same, write.values).fetchone() is not None

    def _disconnect(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):  # the error that led here is the one to tell
                self._database.close()
            self._database = None

    async def _close(self) -> None:
        try:
            if self._backlog:
                logger.error("%s: writes that are lost: %d", self.path, len(self._backlog))
            await self._thread.run(self._disconnect)
        finally:
            self._thread.close()

    def _session(self, row: Sequence[Any]) -> SessionRecord:
        name, started, ended, *rest = row
        cut_off = ended is None and name not in self._begun
        times = datetime.fromisoformat(started), ended and datetime.fromisoformat(ended)
        return SessionRecord(*(name, *times, *rest, cut_off))


def _storable(value: object) -> object:
    """Text without lone surrogates, which SQLite cannot take."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _turn(values: Sequence[Any]) -> Turn:
    stored = dict(zip(_TURN_FIELDS, values, strict=True))
    stored["timings_ms"] = json.loads(stored["timings_ms"])
    for name in ("interrupted", "typed"):
        stored[name] = bool(stored[name])
    return Turn(**stored)
