"""A stand-in for the hub of models: its addresses, headers and refusals, on this machine.

The hub's own client takes it for the hub; ``test_hub_repositories.py`` holds that.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

LARGE = 400
"""Bytes from which a file lies in the store, under its sha256, on another host."""
TOKEN = "hf_right"


def git_name(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class HubServer:
    """What the hub holds, and what it was asked."""

    repositories: dict[str, dict[str, bytes]]
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    """What the store does with its next requests: "die", "stop", "spoil", "fail"."""
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    """Method, address, range, authorisation of each request."""
    url: str = ""

    @property
    def stored(self) -> list[str | None]:
        """Ranges of the requests to the store."""
        return [range_ for _, path, range_, _ in self.asked if path.startswith("/store/")]

    def commit(self, repository: str) -> str:
        files = self.repositories[repository]
        return hashlib.sha1(repr((repository, sorted(files.items()))).encode()).hexdigest()

    @contextmanager
    def open(self) -> Iterator[HubServer]:
        hub = self

        class Request(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _answer(hub, self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Request) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def _answer(hub: HubServer, request: BaseHTTPRequestHandler) -> None:
    path = unquote(request.path.partition("?")[0])
    authorisation = request.headers.get("Authorization")
    hub.asked.append((request.command, path, request.headers.get("Range"), authorisation))
    parts = path.strip("/").split("/")
    if parts[0] == "store":
        _store(hub, request, parts[1])
    elif parts[:2] == ["api", "models"]:
        _describe(hub, request, "/".join(parts[2:4]), parts[4:])
    elif parts[:2] == ["api", "resolve-cache"]:
        content = hub.repositories["/".join(parts[3:5])]["/".join(parts[6:])]
        etag = {"ETag": f'"{git_name(content)}"', "X-Repo-Commit": parts[5]}
        _send(request, 200, content, etag)
    else:
        _resolve(hub, request, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))


def _resolve(
    hub: HubServer, request: BaseHTTPRequestHandler, repository: str, revision: str, path: str
) -> None:
    if not _admitted(hub, request, repository, revision):
        return
    commit = hub.commit(repository)
    content = hub.repositories[repository].get(path)
    if content is None:
        refused = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
        _send(request, 404, b"Entry not found", refused)
    elif len(content) < LARGE:
        where = f"/api/resolve-cache/models/{repository}/{commit}/{path}"
        _send(request, 307, b"", {"Location": where, "X-Repo-Commit": commit})
    else:
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "Location": f"{hub.url.replace('127.0.0.1', 'localhost')}/store/{digest}",
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
        }
        _send(request, 302, b"Found", headers)


def _admitted(
    hub: HubServer, request: BaseHTTPRequestHandler, repository: str, revision: str
) -> bool:
    authorisation = request.headers.get("Authorization")
    if authorisation not in (None, f"Bearer {TOKEN}", "Bearer hf_other"):
        message = "Invalid credentials in Authorization header"
        _send(request, 401, b"", {"X-Error-Message": message})
    elif repository not in hub.repositories:
        code = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
        _send(request, 401 if authorisation is None else 404, b"", code)
    elif repository in hub.gated and authorisation != f"Bearer {TOKEN}":
        status = 401 if authorisation is None else 403
        _send(request, status, b"", {"X-Error-Code": "GatedRepo"})
    elif revision not in ("main", "v1", hub.commit(repository)):
        _send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
    else:
        return True
    return False


def _describe(
    hub: HubServer, request: BaseHTTPRequestHandler, repository: str, parts: list[str]
) -> None:
    if parts[0] == "tree":
        folder = "/".join(parts[2:])
        names = [name for name in hub.repositories[repository] if name.rpartition("/")[0] == folder]
        answer: Any = [{"type": "file", "path": name} for name in names]
    else:
        answer = {"sha": hub.commit(repository), "cardData": hub.cards.get(repository)}
    _send(request, 200, json.dumps(answer).encode(), {})


def _store(hub: HubServer, request: BaseHTTPRequestHandler, digest: str) -> None:
    contents = (content for files in hub.repositories.values() for content in files.values())
    content = next(each for each in contents if hashlib.sha256(each).hexdigest() == digest)
    act = hub.faults.pop(0) if hub.faults else "serve"
    wanted = request.headers.get("Range")
    begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
    if act == "fail":
        _send(request, 503, b"", {})
        return
    if begin >= len(content):
        _send(request, 416, b"", {})
        return
    body = content[begin:]
    if act == "spoil":
        body = bytes(len(body))
    headers = {"Content-Length": str(len(body))}
    if begin:
        headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    if act == "die":
        body = body[: len(body) // 2]
    elif act == "stop":
        body = b""
    _send(request, 206 if begin else 200, body, headers)


def _send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
