"""Repairs of the core's sessions: their names, their files and their history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from coda_voice_hooks import repairs
from mending import Mended, mended

__all__ = ["mended"]


def sessions_in(folder: Path) -> Any:
    from coda.core.session_manager import SessionManager

    return SessionManager(storage_path=folder / "sessions")


@pytest.mark.parametrize("given", ["../evil", "a/b", ".hidden", "x" * 129, "a\0b", "ä", 7])
async def test_a_session_is_no_path(mended: Mended, tmp_path: Path, given: Any) -> None:
    cured = mended("session-ids-are-paths")
    sessions = sessions_in(tmp_path)
    if cured:
        with pytest.raises(ValueError, match="letters, digits and the characters"):
            await sessions.create_session(given)
    else:
        await sessions.create_session(given)
    assert (sessions.sessions == {}) is cured
    if given == "../evil":
        assert (tmp_path / "evil.json").exists() is not cured


@pytest.mark.parametrize("given", [None, "", "a", "A-1.b_2", "x" * 128])
async def test_other_names_are_taken(tmp_path: Path, given: str | None) -> None:
    repairs.repair()
    sessions = sessions_in(tmp_path)
    name = await sessions.create_session(given, {"kind": "test"})
    assert name == given or not given
    assert (tmp_path / "sessions" / f"{name}.json").exists()
    assert sessions.sessions[name]["metadata"] == {"kind": "test"}


async def test_a_session_that_ended_goes_on_where_it_was(mended: Mended, tmp_path: Path) -> None:
    cured = mended("ended-sessions-are-emptied")
    sessions = sessions_in(tmp_path)
    await sessions.create_session("tea", {"a": 1})
    await sessions.add_message_to_session("tea", "user", "Hello")
    await sessions.end_session("tea")
    assert await sessions.create_session("tea", {"b": 2}) == "tea"
    kept = sessions.get_session_history("tea")
    assert ([line["content"] for line in kept] == ["Hello"]) is cured
    assert sessions.active_sessions["tea"]
    if cured:
        stored = json.loads((tmp_path / "sessions" / "tea.json").read_text())
        assert stored["status"] == "active"
        assert "ended_at" not in stored
        assert stored["metadata"] == {"a": 1, "b": 2}


async def test_sound_in_a_message_leaves_the_session_readable(
    mended: Mended, tmp_path: Path
) -> None:
    cured = mended("sound-breaks-session-files")
    sessions = sessions_in(tmp_path)
    await sessions.create_session("tea")
    about = {"has_audio_output": b"\0\0", "nested": {"sound": b""}}
    assert await sessions.add_message_to_session("tea", "user", "Hello", about)
    kept = sessions.get_session_history("tea")[0]["metadata"]
    assert (kept == {"has_audio_output": True, "nested": {"sound": False}}) is cured
    assert about["has_audio_output"] == b"\0\0"


async def test_a_save_that_fails_leaves_the_file_as_it_was(
    mended: Mended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cured = mended("session-files-are-torn")
    sessions = sessions_in(tmp_path)
    await sessions.create_session("tea")
    file = tmp_path / "sessions" / "tea.json"
    sessions.sessions["tea"]["later"] = object()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    await sessions.update_session_activity("tea")
    monkeypatch.undo()
    again = sessions_in(tmp_path)
    await again.initialize()
    assert ("tea" in again.sessions) is cured
    assert list(file.parent.iterdir()) == [file]


async def test_what_json_knows_not_is_written_as_text(mended: Mended, tmp_path: Path) -> None:
    cured = mended("session-files-are-torn")
    sessions = sessions_in(tmp_path)
    await sessions.create_session("tea")
    sessions.sessions["tea"]["place"] = Path("/tea")
    await sessions.update_session_activity("tea")
    again = sessions_in(tmp_path)
    await again.initialize()
    assert (again.sessions.get("tea", {}).get("place") == "/tea") is cured
