"""A writer is killed with SIGKILL: no turn that it acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from coda_voice_plugin.session.store import open_store

WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from coda_voice_plugin import Turn
    from coda_voice_plugin.session.store import open_store

    async def main():
        async with open_store(Path(sys.argv[1])) as store:
            await store.begin(sys.argv[2], "ollama", "moonshine", "hibari", "qwen")
            for index in range(1, 100_000):
                await store.add_turn(sys.argv[2], Turn(index, f"word {index} " * 50, "yes", "yes"))
                print(index, flush=True)

    asyncio.run(main())
    """
)


def write_and_kill(path: Path, session: str, after: int) -> int:
    """Kill a writer when it has acknowledged ``after`` turns; return the last one it did."""
    command = [sys.executable, "-c", WRITER, str(path), session]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer, writer.stdout:
        lines = []
        for line in writer.stdout:
            lines.append(line)
            if len(lines) == after:
                writer.kill()
    assert writer.returncode == -signal.SIGKILL
    # What it printed until the signal took it counts as well; half a line does not.
    return max(int(line) for line in lines if line.endswith("\n"))


async def test_no_acknowledged_turn_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    acknowledged = {f"s{after}": write_and_kill(path, f"s{after}", after) for after in (1, 9, 150)}
    async with open_store(path) as store:
        records = {record.id: record for record in await store.sessions()}
        for name, last in acknowledged.items():
            turns = await store.turns(name)
            # One more may be on disk: committed, and killed before it could say so.
            assert len(turns) in (last, last + 1)
            assert [turn.index for turn in turns] == list(range(1, len(turns) + 1))
            assert all(turn.user == f"word {turn.index} " * 50 for turn in turns)
            assert records[name].cut_off
        await store.begin("afterwards", "", "", "", "")


def update_and_kill(path: Path, last: str) -> None:
    program = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute('UPDATE sessions SET reason = 1')\n"
        "db.execute(sys.argv[2])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path), last], check=False)


@pytest.mark.parametrize(("last", "reason"), [("COMMIT", "1"), ("SELECT 1", None)])
async def test_a_write_is_there_whole_or_not_at_all(
    tmp_path: Path, last: str, reason: str | None
) -> None:
    path = tmp_path / "sessions.db"
    async with open_store(path) as store:
        await store.begin("s", "", "", "", "")
    update_and_kill(path, last)
    async with open_store(path) as store:
        (record,) = await store.sessions()
        assert record.reason == reason
