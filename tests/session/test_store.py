"""The session store, on real SQLite files."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coda_voice_plugin import StoreError, Turn
from coda_voice_plugin.session import database as database_module
from coda_voice_plugin.session import store as store_module
from coda_voice_plugin.session.database import APPLICATION_ID, MIGRATIONS, SCHEMA
from coda_voice_plugin.session.store import Store, default_path, open_store


def turn(index: int, user: str = "What time is it?", assistant: str = "Five past nine.") -> Turn:
    return Turn(
        index=index,
        user=user,
        assistant=assistant,
        generated=assistant + " And more.",
        interrupted=True,
        error="engine",
        typed=True,
        timings_ms={"endpoint": 421.5, "stt": 12.25},
        strategy="ollama",
        stt="moonshine",
        llm="qwen",
        tts="hibari",
        heard_ms=812.5,
        spoken_ms=1000.0,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sessions.db"


async def begin(store: Store, session: str) -> None:
    await store.begin(session, "ollama", "moonshine", "hibari", "qwen")


async def test_a_conversation_is_found_again_as_it_was(path: Path) -> None:
    first, second = turn(1), Turn(index=2, user="Grüße 🙂 \x00", assistant="", generated="")
    before = datetime.now(UTC)
    async with open_store(path) as store:
        await begin(store, "s1")
        await store.add_turn("s1", second)
        await store.add_turn("s1", first)
        await store.end("s1", "the caller hung up")
    async with open_store(path) as store:
        assert await store.turns("s1") == [first, second]
        (record,) = await store.sessions()
    assert (record.id, record.turns, record.reason) == ("s1", 2, "the caller hung up")
    assert (record.strategy, record.stt, record.tts, record.llm) == (
        "ollama",
        "moonshine",
        "hibari",
        "qwen",
    )
    assert record.ended is not None
    assert before <= record.started <= record.ended <= datetime.now(UTC)
    assert not record.cut_off


def test_every_field_of_a_turn_has_a_column() -> None:
    database = sqlite3.connect(":memory:")
    for statement in MIGRATIONS[0]:
        database.execute(statement)
    columns = {row[1] for row in database.execute("PRAGMA table_info(turns)")}
    database.close()
    assert columns == {"session", "stored", *(field.name for field in fields(Turn))}


async def test_the_newest_sessions_come_first_and_no_more_than_asked(path: Path) -> None:
    async with open_store(path) as store:
        for number in range(5):
            await begin(store, f"s{number}")
        assert [record.id for record in await store.sessions(limit=2)] == ["s4", "s3"]


async def test_a_session_that_never_ended_is_shown_as_cut_off(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "killed")
        (record,) = await store.sessions()
        assert not record.cut_off
    async with open_store(path) as store:
        await begin(store, "running")
        running, killed = await store.sessions()
    assert (running.id, running.cut_off) == ("running", False)
    assert (killed.id, killed.cut_off, killed.ended) == ("killed", True, None)


async def test_words_are_found_whatever_their_case(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        await store.add_turn("s", turn(1, user="Wie heißt die STRASSE?"))
        await store.add_turn("s", turn(2, assistant="100 % sure_"))
        await store.add_turn("s", turn(3, user="nothing"))
        assert [found.turn.index for found in await store.search("straße")] == [1]
        assert [found.turn.index for found in await store.search("0 %")] == [2]
        assert [found.turn.index for found in await store.search("SURE_")] == [2]
        assert [found.turn.index for found in await store.search("", limit=2)] == [3, 2]
        assert (await store.search("nothing"))[0].session == "s"
        assert await store.search("what was never heard: And more") == []


async def test_a_disabled_store_touches_no_disk(path: Path) -> None:
    async with open_store(path, enabled=False) as store:
        await begin(store, "s")
        await store.add_turn("s", turn(1))
        await store.end("s", "over")
        assert (await store.sessions(), await store.turns("s"), await store.search("t")) == (
            [],
            [],
            [],
        )
        assert store.pending == 0
    assert not path.parent.exists()


async def test_only_the_owner_can_read_what_was_said(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_every_commit_reaches_the_disk(path: Path) -> None:
    async with open_store(path) as store:

        def pragmas() -> tuple[object, object]:
            database = store._connected()
            return (
                database.execute("PRAGMA synchronous").fetchone()[0],
                database.execute("PRAGMA journal_mode").fetchone()[0],
            )

        assert await store._on_thread(pragmas) == (2, "wal")


@pytest.mark.parametrize("name", ["", "x" * 129, "line\nbreak", "\x00"])
async def test_a_malformed_session_id_is_refused(path: Path, name: str) -> None:
    async with open_store(path) as store:
        with pytest.raises(StoreError, match="printable"):
            await begin(store, name)
        assert store.pending == 0


async def test_a_contradiction_is_refused_and_holds_up_nothing(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        with pytest.raises(StoreError, match="already stored"):
            await begin(store, "s")
        await store.add_turn("s", turn(1, user="first"))
        with pytest.raises(StoreError, match="turn 1 of session s is refused: it is already"):
            await store.add_turn("s", turn(1, user="second"))
        with pytest.raises(StoreError, match="no such session"):
            await store.add_turn("nobody", turn(1))
        with pytest.raises(StoreError, match="too large"):
            await store.add_turn("s", turn(2**70))
        await store.add_turn("s", turn(2, user="half a \ud83d sign"))
        assert [each.user for each in await store.turns("s")] == ["first", "half a ? sign"]


async def limit_pages(store: Store, pages: int) -> None:
    await store._on_thread(
        lambda: store._connected().execute(f"PRAGMA max_page_count = {pages}").fetchone()
    )


async def test_a_full_disk_keeps_turns_in_memory_and_later_writes_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    prepare = store_module.prepare

    def small(database: sqlite3.Connection, path: Path) -> None:
        prepare(database, path)
        if full:
            database.execute("PRAGMA max_page_count = 8")

    monkeypatch.setattr(store_module, "prepare", small)
    async with open_store(path) as store:
        await begin(store, "s")

        async def fill() -> None:
            for index in range(1, 100):
                await store.add_turn("s", turn(index, user="long " * 500))

        with pytest.raises(StoreError, match=r"is full: free space .* kept in memory .*: 1\."):
            await fill()
        kept = len(await store.turns("s"))
        assert store.pending == 1
        with pytest.raises(StoreError, match=r"kept in memory .*: 2\."):
            await store.add_turn("s", turn(kept + 2, user="long " * 500))
        full = False
        await store._on_thread(store._disconnect)
        await store.end("s", "over")
        assert store.pending == 0
        assert [each.index for each in await store.turns("s")] == list(range(1, kept + 3))
        assert (await store.sessions())[0].ended is not None


async def test_pending_writes_are_bounded_and_what_is_kept_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_PENDING", 3)
    async with open_store(path) as store:
        await begin(store, "s")
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        await store._on_thread(lambda: store._connected().execute("PRAGMA busy_timeout = 1"))
        monkeypatch.setattr(store_module, "BUSY_S", 0.001)
        for index in (1, 2, 3):
            with pytest.raises(StoreError, match="locked by another program"):
                await store.add_turn("s", turn(index))
        with pytest.raises(StoreError, match="turn 4 of session s is not kept: 3 writes"):
            await store.add_turn("s", turn(4))
        lock.execute("ROLLBACK")
        lock.close()
        await store.flush()
        assert [each.index for each in await store.turns("s")] == [1, 2, 3]


async def test_a_cancelled_caller_loses_no_turn(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(store.add_turn("s", turn(i))) for i in range(1, 6)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
    async with open_store(path) as store:
        assert [each.index for each in await store.turns("s")] == [1, 2, 3, 4, 5]


async def test_the_same_turn_given_again_is_stored_once(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        for _ in range(2):
            await store.add_turn("s", turn(1))
            await store.add_turn("s", Turn(2, "", "", ""))
        assert await store.turns("s") == [turn(1), Turn(2, "", "", "")]


async def test_a_block_that_fails_still_writes_what_is_pending(path: Path) -> None:
    late = store_module._Write("end", "UPDATE sessions SET reason = 'over'", ())

    async def fail() -> None:
        async with open_store(path) as store:
            await begin(store, "s")
            store._backlog.append(late)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with open_store(path) as store:
        assert (await store.sessions())[0].reason == "over"


async def test_what_is_lost_at_the_end_is_said(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_S", 0.001)
    async with open_store(path) as store:
        await begin(store, "s")
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")

    async def talk() -> None:
        async with open_store(path) as store:
            with pytest.raises(StoreError, match="locked"):
                await store.add_turn("s", turn(1))

    with pytest.raises(StoreError, match="locked"), caplog.at_level(logging.ERROR):
        await talk()
    lock.close()
    assert "writes that are lost: 1" in caplog.text
    assert "What time" not in caplog.text


async def test_calls_side_by_side_are_all_kept(path: Path) -> None:
    async with open_store(path) as store, asyncio.TaskGroup() as group:

        async def call(name: str) -> None:
            await begin(store, name)
            for index in range(1, 6):
                await store.add_turn(name, turn(index))
            await store.end(name, "over")

        for number in range(8):
            group.create_task(call(f"s{number}"))
    async with open_store(path) as store:
        assert {record.turns for record in await store.sessions()} == {5}
        assert len(await store.sessions()) == 8


async def test_two_programs_share_a_new_file(path: Path) -> None:
    async with open_store(path) as one, open_store(path) as two:
        await begin(one, "a")
        await begin(two, "b")
        seen = {record.id: record.cut_off for record in await one.sessions()}
    assert seen == {"a": False, "b": True}


def spoil(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[4096 * 2 : 4096 * 20] = b"\xa5" * (4096 * 18)
    path.write_bytes(body)


@pytest.fixture
def letter(path: Path) -> Iterator[Path]:
    text = b"this is a letter, not a database" * 100
    path.parent.mkdir()
    path.write_bytes(text)
    yield path
    assert path.read_bytes() == text


async def test_a_damaged_file_is_refused_and_left_alone(letter: Path) -> None:
    with pytest.raises(StoreError, match="no SQLite file: move it away"):
        async with open_store(letter):
            pytest.fail("opened")


async def test_damage_inside_the_file_is_told(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        for index in range(1, 40):
            await store.add_turn("s", turn(index, user="words " * 200))
    spoil(path)
    with pytest.raises(StoreError, match=r"damaged: move it away, .*\.recover"):
        async with open_store(path) as store:
            await store.search("words")


async def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    with pytest.raises(StoreError, match=r"written by a newer version .* update it"):
        async with open_store(path):
            pytest.fail("opened")


async def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE sessions (x)")
    database.close()
    with pytest.raises(StoreError, match="another program's database"):
        async with open_store(path):
            pytest.fail("opened")


async def test_an_older_file_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as store:
        await begin(store, "old")
    newer = (*MIGRATIONS, ("ALTER TABLE sessions ADD COLUMN mood TEXT",))
    monkeypatch.setattr(database_module, "MIGRATIONS", newer)
    monkeypatch.setattr(database_module, "SCHEMA", len(newer))
    async with open_store(path) as store:
        assert [record.id for record in await store.sessions()] == ["old"]
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert database.execute("SELECT mood FROM sessions").fetchone() == (None,)
    database.close()


async def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as store:
        await begin(store, "old")
    broken = (*MIGRATIONS, ("ALTER TABLE sessions ADD COLUMN mood TEXT", "NONSENSE"))
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "MIGRATIONS", broken)
        patched.setattr(database_module, "SCHEMA", len(broken))
        with pytest.raises(StoreError, match="NONSENSE"):
            async with open_store(path):
                pytest.fail("opened")
    async with open_store(path) as store:
        assert [record.id for record in await store.sessions()] == ["old"]


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot be opened: .*; name another file with store\.path"
    ):
        async with open_store(tmp_path / "file" / "sessions.db"):
            pytest.fail("opened")
    with pytest.raises(StoreError, match="cannot be opened"):
        async with open_store(tmp_path):
            pytest.fail("opened")


async def test_a_read_only_file_is_told_and_the_turn_kept(path: Path) -> None:
    async with open_store(path) as store:
        await begin(store, "s")
        await store._on_thread(
            lambda: store._connected().execute("PRAGMA query_only = ON").fetchone()
        )
        with pytest.raises(StoreError, match="is read-only: make it writable"):
            await store.add_turn("s", turn(1))
        assert store.pending == 1
        await store.add_turn("s", turn(2))
        assert [each.index for each in await store.turns("s")] == [1, 2]


def test_the_default_file_is_in_the_users_data_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert default_path({"XDG_DATA_HOME": "/data"}) == Path("/data/coda-voice/sessions.db")
    monkeypatch.setenv("HOME", "/users/ada")
    for environ in ({}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative"}):
        assert default_path(environ) == Path("/users/ada/.local/share/coda-voice/sessions.db")


def test_a_disk_that_takes_no_more_bytes_loses_nothing(path: Path) -> None:
    """The operating system itself refuses to let the files grow, then allows it again."""
    program = """
        import asyncio, resource, sys
        from pathlib import Path
        from coda_voice_plugin import StoreError, Turn
        from coda_voice_plugin.session.store import open_store

        async def main():
            async with open_store(Path(sys.argv[1])) as store:
                await store.begin("s", "", "", "", "")
                hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
                failures = []
                for index in range(1, 61):
                    try:
                        await store.add_turn("s", Turn(index, "long " * 1000, "", ""))
                    except StoreError as error:
                        failures.append(str(error))
                print(len(failures), store.pending, failures[0])
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                await store.add_turn("s", Turn(61, "", "", ""))
                print([turn.index for turn in await store.turns("s")] == list(range(1, 62)))

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, complete = done.stdout.splitlines()
    failures, pending, message = told.split(maxsplit=2)
    assert 10 < int(pending) <= int(failures)
    assert "cannot be written" in message
    assert complete == "True"
