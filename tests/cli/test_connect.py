"""`coda-voice connect` at a real door with scripted engines."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from coda_voice_plugin import Host
from coda_voice_plugin.audio import read_audio, write_audio
from coda_voice_plugin.cli import caller, run
from coda_voice_plugin.cli.devices import DeviceLoudspeaker
from coda_voice_plugin.client import Place
from coda_voice_plugin.events import AudioFrame
from coda_voice_plugin.server import make_app

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "server")]

from closing import close  # noqa: E402
from scripted import scripted_host  # noqa: E402

SPEECH = Path("/usr/share/pocketsphinx/test/data/goforward.raw")


@asynccontextmanager
async def door(folder: Path, **settings: Any) -> AsyncIterator[tuple[Host, str]]:
    async with scripted_host(folder, **settings) as host:
        runner = web.AppRunner(make_app(host))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield host, f"127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await close(runner)


async def connect(*arguments: object) -> int:
    """Run the command in a thread, which has a loop of its own."""
    return await asyncio.to_thread(run, ["connect", *map(str, arguments)])


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - a count has no event to wait for
        await asyncio.sleep(0.01)


def is_speaking(host: Host) -> bool:
    return any(session.call.speaking for session in host.sessions.values())


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    write_audio(tmp_path / "go.wav", SPEECH.read_bytes(), 16_000)
    return tmp_path / "go.wav"


async def test_what_is_written_is_answered_printed_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with door(tmp_path, answers=["It is noon.", "No."]) as (_, url):
        out = tmp_path / "a.wav"
        code = await connect(url, "--text", "What time?", "--text", "Late?", "-o", out)
    printed, err = capsys.readouterr()
    assert (code, err) == (0, "")
    lines = printed.splitlines()
    assert [line.partition("  (")[0] for line in lines] == [
        "you:  What time?",
        "coda: It is noon.",
        "you:  Late?",
        "coda: No.",
    ]
    assert lines[1].endswith(" ms)")
    assert read_audio(out).seconds == pytest.approx(4 * 0.22, abs=0.02)


async def test_a_file_is_spoken_and_answered(
    tmp_path: Path, speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with door(tmp_path, hears=["go forward"], answers=["Going."]) as (_, url):
        code = await connect(f"http://{url}/", speech, "--json")
    printed, err = capsys.readouterr()
    assert (code, err) == (0, "")
    (turn,) = map(json.loads, printed.splitlines())
    assert (turn["heard"], turn["said"], turn["interrupted"]) == ("go forward", "Going.", False)
    assert turn["timings_ms"]["first_audio"] > 0


async def test_a_silent_file_is_told_and_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(caller, "UNHEARD_S", 0.3)
    write_audio(tmp_path / "silence.wav", bytes(16_000), 16_000)
    async with door(tmp_path) as (_, url):
        code = await connect(f"ws://{url}/v1/voice", tmp_path / "silence.wav")
    assert code == 1
    assert "no speech was heard" in capsys.readouterr().err


async def test_an_answer_without_end_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with door(tmp_path, answers=["word " * 200]) as (_, url):
        assert await connect(url, "--text", "Talk!", "--listen", "1") == 0
    assert " —" in capsys.readouterr().out


def test_nobody_at_the_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["connect", "http://127.0.0.1:1", "--text", "hello"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("coda-voice: nobody answers at ws://127.0.0.1:1/v1/voice: ")
    assert "`coda-voice serve`" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "http://h:99999", ""])
def test_what_is_no_address_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["connect", url, "--text", "hello"]) == 1
    assert "write it like http://127.0.0.1:8766" in capsys.readouterr().err


def test_a_file_that_is_no_sound_is_refused_before_anybody_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.wav").write_text("this is a text")
    assert run(["connect", "127.0.0.1:1", str(tmp_path / "notes.wav")]) == 1
    assert "not an audio file" in capsys.readouterr().err


async def test_a_conversation_can_be_gone_on_with_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with door(tmp_path, answers=["One.", "Two."]) as (host, url):
        for _ in range(2):
            assert await connect(url, "--session", "kitchen", "--text", "Go on.") == 0
        assert [turn.assistant for turn in await host.store.turns("kitchen")] == ["One.", "Two."]
    assert "remembered" in capsys.readouterr().err


class Bridge:
    """A way to the server that can break."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[str]:
        host, _, port = address.partition(":")

        async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(host, int(port))
            self._writers += [writer, back]
            with suppress(ConnectionError):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_pour(reader, back))
                    tasks.create_task(_pour(there, writer))

        server = await asyncio.start_server(attend, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def test_a_lost_connection_is_told_and_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "one two three four five six seven eight nine ten."
    bridge = Bridge()
    async with (
        door(tmp_path, answers=[said]) as (host, url),
        bridge.to(url) as way,
        asyncio.timeout(60),
        asyncio.TaskGroup() as tasks,
    ):
        calling = tasks.create_task(connect(way, "--text", "Count."))
        await until(lambda: is_speaking(host))
        bridge.cut()
    printed, err = capsys.readouterr()
    assert calling.result() == 0
    assert f"coda: {said}" in printed
    assert "the connection was lost" in err
    assert "connected again; the conversation goes on." in err


async def test_without_resume_a_lost_connection_is_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge = Bridge()
    async with (
        door(tmp_path, answers=["word " * 50]) as (host, url),
        bridge.to(url) as way,
        asyncio.timeout(60),
        asyncio.TaskGroup() as tasks,
    ):
        calling = tasks.create_task(connect(way, "--text", "Talk!", "--no-resume"))
        await until(lambda: is_speaking(host))
        bridge.cut()
    assert calling.result() == 1
    assert "the connection was lost" in capsys.readouterr().err


async def test_ctrl_c_hangs_up(tmp_path: Path) -> None:
    async with door(tmp_path, answers=["word " * 200]) as (host, url):
        command = [sys.executable, "-m", "coda_voice_plugin", "connect", url, "--text", "Talk!"]
        child = await asyncio.create_subprocess_exec(
            *command,
            stderr=asyncio.subprocess.PIPE,
            # a shell's background jobs, and all that they start, ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        async with asyncio.timeout(60):
            await until(lambda: is_speaking(host))
            child.send_signal(signal.SIGINT)
            _, err = await child.communicate()
            await until(lambda: not host.calls)
        assert (child.returncode, err.strip()) == (130, b"")


class FakeStream:
    """A device: a thread that asks for 20 ms of sound, or brings them."""

    def __init__(self, blocksize: int, callback: Any, sound: bytes = b"", **_: Any) -> None:
        self._callback, self._bytes, self._sound = callback, 2 * blocksize, sound
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        at = 0
        while not self._over.wait(0.01):
            pcm = bytearray(self._sound[at : at + self._bytes].ljust(self._bytes, b"\0"))
            at += self._bytes
            self._callback(pcm, self._bytes // 2, time.monotonic(), None)

    def __enter__(self) -> FakeStream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


async def test_the_devices_of_the_machine_hold_a_conversation(
    tmp_path: Path,
    speech: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sound = read_audio(speech).pcm
    sound += bytes(2 * 16_000 * 4) + sound
    devices = SimpleNamespace(
        PortAudioError=RuntimeError,
        query_devices=lambda kind: {"default_samplerate": 16_000.0},
        RawInputStream=lambda **options: FakeStream(**options, sound=sound),
        RawOutputStream=FakeStream,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", devices)
    async with door(tmp_path, hears=["hello", "goodbye"], answers=["Hi."]) as (_, url):
        async with asyncio.timeout(60):
            assert await connect(url) == 0
    printed = capsys.readouterr().out
    assert "you:  hello\ncoda: Hi." in printed


def test_a_device_plays_in_order_stands_still_and_forgets_what_was_flushed() -> None:
    speaker = DeviceLoudspeaker()
    speaker.begin(1_000)
    for start in (0, 10):
        speaker.play(1, AudioFrame(b"\1\0" * 10, 1_000, start))
    out = memoryview(bytearray(30))
    assert speaker.fill(out)
    assert (bytes(out), speaker.place()) == (b"\1\0" * 15, Place(1, 15))
    assert speaker.left_s() == 0.005
    speaker.hold(True)
    assert not speaker.fill(out)
    assert (bytes(out), speaker.place()) == (bytes(30), Place(1, 15))
    assert speaker.flush(1) == 15
    speaker.play(2, AudioFrame(b"\2\0" * 5, 1_000, 0))
    assert speaker.fill(out)
    assert (bytes(out), speaker.place()) == (b"\2\0" * 5 + bytes(20), Place(2, 5))
    assert speaker.flush(1) == 0
