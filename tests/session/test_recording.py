from __future__ import annotations

import asyncio
import errno
import signal
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from coda_voice_plugin import StoreError
from coda_voice_plugin.events import AudioFrame
from coda_voice_plugin.session import recording as recordings
from coda_voice_plugin.session.playback import Playback
from coda_voice_plugin.session.recording import Recording, find, forget, recording_path
from coda_voice_plugin.session.recording_file import StereoFile

RATE = 8_000
FRAME = 160


def level(value: int, samples: int) -> bytes:
    return np.full(samples, value, "<i2").tobytes()


def read(path: Path) -> np.ndarray:
    """Rows of a recording: left, right."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


class Scene:
    """A recording and its clock, in frames of 20 ms."""

    def __init__(self, recording: Recording, rate: int = RATE) -> None:
        self.recording = recording
        self.rate = rate
        self.now = recording._wrote_at  # when it was opened: rows are counted from there
        self.sent = 0

    def mic(self, value: int, frames: int = 1) -> None:
        for _ in range(frames):
            self.now += FRAME / RATE
            self.recording.microphone(level(value, FRAME * self.rate // RATE), self.now)

    def say(self, playback: Playback, value: int, samples: int, turn: int = 1) -> None:
        frame = AudioFrame(level(value, samples), RATE, playback.sent)
        playback.send(samples, self.now)
        self.recording.spoken(turn, frame, playback, self.now)


async def opened(path: Path, mic_rate: int = RATE) -> Scene:
    return Scene(await Recording.open(path, mic_rate=mic_rate, rate=RATE), mic_rate)


async def test_the_user_is_left_and_what_was_heard_is_right_at_its_time(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "a" / "s.wav")
    playback = Playback(RATE, reported=False)
    scene.mic(5, 50)
    scene.say(playback, 9, 4_000)
    scene.mic(6, 50)
    await scene.recording.close()
    rows = read(tmp_path / "a" / "s.wav")
    assert len(rows) == pytest.approx(16_000, abs=8)
    assert list(rows[:8_000, 0]) == [5] * 8_000
    assert list(rows[8_000:, 0]) == [6] * 8_000
    heard = np.flatnonzero(rows[:, 1] == 9)
    assert (len(heard), heard[-1] - heard[0]) == (4_000, 3_999)
    assert heard[0] == pytest.approx(8_000, abs=80)


async def test_what_was_flushed_was_not_heard(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav")
    playback = Playback(RATE, reported=True)
    scene.say(playback, 9, 8_000)
    scene.mic(5, 10)
    playback.report(1_200)
    scene.mic(5, 1)
    playback.stop(scene.now)
    playback.report(1_300)
    scene.recording.follow(scene.now)
    later = Playback(RATE, reported=False)
    scene.mic(5, 20)
    scene.say(later, 7, 800, turn=2)
    scene.mic(5, 20)
    await scene.recording.close()
    right = read(tmp_path / "s.wav")[:, 1]
    assert np.count_nonzero(right == 9) == 1_300
    assert np.count_nonzero(right == 7) == 800
    assert np.flatnonzero(right == 7)[0] == pytest.approx(31 * FRAME, abs=80)


async def test_a_reply_that_was_held_has_a_silence_in_it(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav")
    playback = Playback(RATE, reported=False)
    scene.say(playback, 9, 1_600)
    scene.mic(0, 5)
    playback.hold(scene.now)
    scene.mic(0, 100)
    playback.go_on(scene.now)
    scene.mic(0, 10)
    await scene.recording.close()
    heard = np.flatnonzero(read(tmp_path / "s.wav")[:, 1] == 9)
    assert len(heard) == 1_600
    (gap,) = [step for step in np.diff(heard) if step > 1]
    assert gap == pytest.approx(100 * FRAME, abs=80)


async def test_reports_that_waver_tear_no_holes_into_speech(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav")
    playback = Playback(RATE, reported=True)
    scene.say(playback, 9, 8_000)
    for n, position in enumerate(range(800, 8_001, 800)):
        scene.now += 0.1 + (0.0, 0.03, -0.03)[n % 3]
        playback.report(position)
        scene.recording.follow(scene.now)
    await scene.recording.close()
    heard = np.flatnonzero(read(tmp_path / "s.wav")[:, 1] == 9)
    assert (len(heard), heard[-1] - heard[0]) == (8_000, 7_999)


async def test_sound_of_another_rate_lies_at_the_same_second(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav", 48_000)
    scene.mic(0, 50)
    scene.mic(8_000, 50)
    scene.mic(0, 50)
    await scene.recording.close()
    left = read(tmp_path / "s.wav")[:, 0]
    loud = np.flatnonzero(left > 4_000)
    assert loud[0] == pytest.approx(8_000, abs=8)
    assert loud[-1] == pytest.approx(16_000, abs=8)


async def test_a_microphone_that_was_closed_leaves_silence(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav")
    scene.mic(5, 10)
    scene.now += 3.0
    scene.mic(6, 10)
    await scene.recording.close()
    left = read(tmp_path / "s.wav")[:, 0]
    assert list(left[1_600:25_600]) == [0] * 24_000
    assert np.flatnonzero(left == 6)[0] == pytest.approx(25_600, abs=8)


async def test_what_a_client_sends_after_a_drop_lies_where_it_was_spoken(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "s.wav")
    scene.mic(5, 10)
    scene.recording.park()
    scene.now += 4.0
    scene.recording.unpark(scene.now)
    for _ in range(200):  # all at once
        scene.recording.microphone(level(6, FRAME), scene.now)
    scene.mic(7, 10)
    await scene.recording.close()
    left = read(tmp_path / "s.wav")[:, 0]
    assert list(left) == [5] * 1_600 + [6] * 32_000 + [7] * 1_600


async def test_a_recording_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    for value in (5, 6):
        scene = await opened(tmp_path / "s.wav")
        scene.mic(value, 10)
        await scene.recording.close()
    left = read(tmp_path / "s.wav")[:, 0]
    assert list(left[:1_600]) == [5] * 1_600
    assert np.count_nonzero(left == 6) == 1_600


async def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.wav"
    path.write_bytes(b"my diary")
    with pytest.raises(StoreError, match="no recording"):
        await Recording.open(path, mic_rate=RATE, rate=RATE)
    assert path.read_bytes() == b"my diary"
    scene = await opened(tmp_path / "t.wav")
    scene.mic(5, 10)
    await scene.recording.close()
    with pytest.raises(StoreError, match="24000 Hz"):
        await Recording.open(tmp_path / "t.wav", mic_rate=RATE, rate=24_000)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"turn store\.audio off"):
        await Recording.open(tmp_path / "file" / "s.wav", mic_rate=RATE, rate=RATE)


async def test_a_recording_is_its_owners_alone(tmp_path: Path) -> None:
    scene = await opened(tmp_path / "audio" / "s.wav")
    await scene.recording.close()
    assert (tmp_path / "audio" / "s.wav").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "audio").stat().st_mode & 0o777 == 0o700
    assert len(read(tmp_path / "audio" / "s.wav")) == 0


def test_who_is_killed_leaves_a_file_that_can_be_played(tmp_path: Path) -> None:
    script = f"""
import asyncio
from pathlib import Path
from coda_voice_plugin.session.recording import Recording

async def main():
    recording = await Recording.open(Path({str(tmp_path / "s.wav")!r}), mic_rate=8000, rate=8000)
    now = asyncio.get_running_loop().time()
    for n in range(100_000):
        now += 0.02
        recording.microphone(b"\\5\\0" * 160, now)
        if n % 50 == 0:
            await asyncio.sleep(0.001)
        if n == 1_000:
            print("going", flush=True)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"going\n"
        child.send_signal(signal.SIGKILL)
    left = read(tmp_path / "s.wav")[:, 0]
    assert len(left) > 8_000
    assert set(left) == {5}


async def test_a_full_disk_stops_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene = await opened(tmp_path / "s.wav")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StereoFile, "write", full)
    scene.mic(5, 200)
    await scene.recording.close()
    scene.mic(5, 100)
    assert scene.recording.lost > 0
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "recording has stopped: No space left on device"
    ]


async def test_a_slow_disk_costs_sound_and_not_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "MOST_BYTES", 100_000)
    scene = await opened(tmp_path / "s.wav")
    goes_on = threading.Event()
    write = StereoFile.write

    def slow(*args: object) -> None:
        goes_on.wait(30)
        write(*args)

    monkeypatch.setattr(StereoFile, "write", slow)
    scene.mic(5, 5_000)
    assert scene.recording.lost == pytest.approx(5_000 * 320 - 100_000, rel=0.05)
    goes_on.set()
    while scene.recording._writing is not None:  # noqa: ASYNC110 - the disk has no event
        await asyncio.sleep(0.005)
    scene.mic(6, 60)
    await scene.recording.close()
    left = read(tmp_path / "s.wav")[:, 0]
    assert np.flatnonzero(left == 6)[0] == pytest.approx(5_000 * FRAME, rel=0.02)


def test_each_session_has_its_file_and_odd_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = tmp_path / "sessions.db"
    assert recording_path(store, "kitchen-1") == tmp_path / "sessions-audio" / "kitchen-1.wav"
    odd = ["../../etc/passwd", "a/b", "", ".", "ä", "x" * 500, "kitchen-1\n"]
    paths = {recording_path(store, name) for name in odd}
    assert len(paths) == len(odd)
    assert {path.parent for path in paths} == {tmp_path / "sessions-audio"}


def test_a_recording_is_found_and_forgotten(tmp_path: Path) -> None:
    store = tmp_path / "sessions.db"
    assert find(store, "k") is None
    StereoFile(recording_path(store, "k"), RATE).close()
    assert find(store, "k") == recording_path(store, "k")
    forget(store, "k")
    forget(store, "k")
    assert find(store, "k") is None


def test_rows_are_exact_wherever_they_are_written(tmp_path: Path) -> None:
    file = StereoFile(tmp_path / "s.wav", RATE)
    expected = np.zeros((5_000, 2), np.int16)
    chance = np.random.default_rng(1)
    for _ in range(200):
        channel, row = int(chance.integers(2)), int(chance.integers(4_000))
        samples = chance.integers(-3_000, 3_000, int(chance.integers(1, 1_000))).astype("<i2")
        file.write(channel, row, samples.tobytes())
        expected[row : row + len(samples), channel] = samples
    file.close()
    rows = read(tmp_path / "s.wav")
    assert np.array_equal(rows, expected[: len(rows)])
    assert not expected[len(rows) :].any()
