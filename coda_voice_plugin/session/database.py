"""The file that conversations are kept in: its tables, their versions, its troubles in words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import StoreError

APPLICATION_ID = 0x434F4456
"""Marks the file as ours ("CODV"), in SQLite's own header field for that."""
BUSY_S = 2.0
"""Seconds to wait for another program that writes to the same file."""

# Each entry brings the schema from its index to the next version. Entries that were
# published never change; a new version appends one.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE sessions (
            id TEXT PRIMARY KEY, started TEXT NOT NULL, ended TEXT, reason TEXT,
            strategy TEXT NOT NULL, stt TEXT NOT NULL, tts TEXT NOT NULL, llm TEXT NOT NULL)""",
        """CREATE TABLE turns (
            session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            stored TEXT NOT NULL, "index" INTEGER NOT NULL,
            user TEXT NOT NULL, assistant TEXT NOT NULL, generated TEXT NOT NULL,
            interrupted INTEGER NOT NULL, error TEXT, typed INTEGER NOT NULL,
            timings_ms TEXT NOT NULL, strategy TEXT NOT NULL, stt TEXT NOT NULL,
            llm TEXT NOT NULL, tts TEXT NOT NULL, heard_ms REAL NOT NULL, spoken_ms REAL NOT NULL,
            PRIMARY KEY (session, "index"))""",
    ),
    ("ALTER TABLE sessions ADD COLUMN key TEXT",),
)
SCHEMA = len(MIGRATIONS)
"""Version of the tables that this program writes."""


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Check whose file it is and bring its tables up to date; raises StoreError."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    owner = database.execute("PRAGMA application_id").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    elsewhere = "name another file with store.path."
    if tables and owner != APPLICATION_ID:
        raise StoreError(f"{path} is another program's database; {elsewhere}")
    if version > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer version of this program (schema {version}, this one "
            f"knows {SCHEMA}); update it, or {elsewhere}"
        )
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA secure_delete = ON")  # what is deleted is not left in free pages
    database.create_function("holds", 2, lambda text, folded: folded in text.casefold())
    if version < SCHEMA:
        _migrate(database)


def _migrate(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another program may have been first.
        version = database.execute("PRAGMA user_version").fetchone()[0]
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


_TROUBLES = {
    "FULL": "is full: free space on its disk",
    "IOERR": "cannot be written (input/output error): see to its disk, its space and quota",
    "READONLY": "is read-only: make it writable",
    "CANTOPEN": "cannot be opened: check its folder and permissions",
    "BUSY": "is locked by another program: end that one",
    "LOCKED": "is locked by another program: end that one",
    "CORRUPT": "is damaged: move it away, rescue it with `sqlite3 FILE .recover`",
    "NOTADB": "is no SQLite file: move it away",
}


def explain(error: sqlite3.Error, path: Path) -> str:
    """What SQLite's error means, and what to do about it."""
    kind = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
    trouble = _TROUBLES.get(kind, f"failed ({error}): see to the file")
    return f"the session store {path} {trouble}, or name another file with store.path."


def conflict(error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return "no such session was begun"
    return "it is already stored" if name.startswith("SQLITE_CONSTRAINT") else str(error)
