"""What the hub of models (huggingface.co) says about a file: where, how large, which hash.

Its own client, ``huggingface_hub``, is not used, for three reasons: it compares sizes and
never the hash, it reports progress only on a terminal of its own, and it comes with an extra
that somebody who only fetches need not have. Its cache is read all the same (``snapshot.py``),
and the tests hold that both understand the hub alike.

``HF_ENDPOINT`` and ``HF_TOKEN`` are read at each call.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .manifest import Promise
from .reference import Reference
from .repositories import REPOSITORIES
from .sources import AGENT, SourceError, open_url, reach

_MOST = 1 << 22
"""Bytes of an answer that are read at once: a configuration, a list."""
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class HubError(Exception):
    """The hub did not give what was asked for; a sentence without its full stop."""


class FileMissingError(HubError):
    """The repository has no such file. ``commit`` is what it was looked for in."""

    def __init__(self, message: str, commit: str | None) -> None:
        self.commit = commit
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub promises it."""

    url: str
    commit: str
    promise: Promise


def endpoint() -> str:
    """Address of the hub, without a slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def host() -> str:
    """Name of the hub for messages."""
    return urlsplit(endpoint()).netloc


def authorisation() -> Mapping[str, str]:
    """The header of somebody who set ``HF_TOKEN`` or logged in with the hub's own client."""
    token = os.environ.get("HF_TOKEN", "").strip() or _saved_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def hub_home() -> Path:
    """Where the hub's own client keeps its things."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or f"{base}/huggingface").expanduser()


def _saved_token() -> str:
    path = os.environ.get("HF_TOKEN_PATH")
    try:
        return (Path(path).expanduser() if path else hub_home() / "token").read_text().strip()
    except OSError:
        return ""


def check_reachable() -> None:
    """Raise HubError soon when nobody answers."""
    try:
        reach(endpoint())
    except SourceError as error:
        raise HubError(str(error)) from error


def look_up(reference: Reference, revision: str) -> HubFile:
    """Ask for the size and the hash of ``reference.file`` at ``revision``."""
    assert reference.file is not None
    url = f"{endpoint()}/{reference.repository}/resolve/{{}}/{quote(reference.file)}"
    headers = _headers(url.format(quote(revision, safe="")), reference)
    etag = headers.get("X-Linked-Etag") or headers.get("ETag") or ""
    digest = etag.removeprefix("W/").strip('"')
    size = headers.get("X-Linked-Size") or headers.get("Content-Length") or ""
    if not (_DIGEST.fullmatch(digest) and size.isdigit()):
        raise HubError(f"{host()} promises no size or hash for {reference}")
    commit = headers.get("X-Repo-Commit") or revision
    return HubFile(url.format(quote(commit, safe="")), commit, Promise(int(size), digest))


def read(file: HubFile, reference: Reference) -> bytes:
    """Content of a small file."""
    if file.promise.size > _MOST:
        raise HubError(f"{reference} is too large ({file.promise.size} bytes)")
    content = _get(file.url, reference)
    if len(content) != file.promise.size:
        raise HubError(f"{host()} did not send the whole of {reference}")
    return content


def licence(reference: Reference, commit: str) -> str:
    """Licence by the repository's card, or "unknown"."""
    card = _json(f"models/{reference.repository}/revision/{commit}", reference).get("cardData")
    if not isinstance(card, dict):
        return "unknown"
    named = card.get("license")
    return str((card.get("license_name") if named == "other" else named) or named or "unknown")


def _headers(url: str, reference: Reference) -> Message:
    try:
        with open_url(_request(url, "HEAD"), elsewhere=False) as answer:
            headers: Message = answer.headers
            return headers
    except urllib.error.HTTPError as error:
        with closing(error):
            if 300 <= error.code < 400:  # to where the bytes are: what we want to know is here
                return error.headers
            raise _refusal(error, reference) from error
    except (HTTPException, OSError) as error:
        raise _unreachable(error) from error


def _json(path: str, reference: Reference) -> dict[str, Any]:
    try:
        found = json.loads(_get(f"{endpoint()}/api/{path}", reference))
    except ValueError as error:
        raise HubError(f"{host()} does not speak the hub's protocol") from error
    return found if isinstance(found, dict) else {"items": found}


def _get(url: str, reference: Reference) -> bytes:
    try:
        with open_url(_request(url)) as answer:
            return bytes(answer.read(_MOST))
    except urllib.error.HTTPError as error:
        with closing(error):
            raise _refusal(error, reference) from error
    except (HTTPException, OSError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> HubError:
    return HubError(f"{host()} cannot be reached ({getattr(error, 'reason', error)})")


def _request(url: str, method: str = "GET") -> urllib.request.Request:
    return urllib.request.Request(url, headers={**AGENT, **authorisation()}, method=method)


def _refusal(error: urllib.error.HTTPError, reference: Reference) -> HubError:
    """What the hub's refusal means, and what to do about it."""
    code, name = error.headers.get("X-Error-Code", ""), reference.repository
    if code == "GatedRepo":
        account = " with the account of your HF_TOKEN" if authorisation() else " and set HF_TOKEN"
        return HubError(f"accept the licence of {name} at {endpoint()}/{name}{account}")
    if "Invalid credentials" in error.headers.get("X-Error-Message", ""):
        return HubError(f"{host()} does not accept your HF_TOKEN")
    if code == "RepoNotFound" or error.code in (401, 403):  # to strangers it says 401
        close = get_close_matches(name, REPOSITORIES, n=1, cutoff=0.7)
        hint = f"did you mean {close[0]}?" if close else "if it is private, set HF_TOKEN"
        return HubError(f"{host()} has no repository {name}; {hint}")
    if code == "RevisionNotFound":
        return HubError(f"{name} has no revision {reference.revision or 'main'!r}")
    if error.code == 404:
        commit = error.headers.get("X-Repo-Commit")
        return FileMissingError(f"{name} has no file {reference.file!r}", commit)
    if error.code == 429:
        return HubError(f"{host()} asks to wait (too many requests)")
    return HubError(f"{host()} answered {error.code} {error.reason}")


def near(reference: Reference, commit: str) -> str:
    """The file of the repository whose name is nearest to ``reference.file``, or ""."""
    assert reference.file is not None
    folder, _, last = reference.file.rpartition("/")
    path = f"models/{reference.repository}/tree/{quote(commit, safe='')}/{quote(folder)}"
    try:
        items = _json(path.rstrip("/"), reference).get("items", [])
    except HubError:
        return ""  # it was only for a hint
    names = [str(item.get("path", "")) for item in items if isinstance(item, dict)]
    lasts = {name.rpartition("/")[2]: name for name in names}
    return next((lasts[name] for name in get_close_matches(last, lasts, n=1)), "")
