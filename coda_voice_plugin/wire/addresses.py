"""Addresses of other programs, and their words, in messages for people. No I/O."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

_LOCAL = ("127.", "localhost", "::1")
_MOST = 200


def shown(url: str) -> str:
    """``url`` without name, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_here(url: str) -> bool:
    """Whether it is an address of this machine: a proxy of the environment is not meant for it."""
    return (urlsplit(url).hostname or "").startswith(_LOCAL)


def one_line(text: str) -> str:
    """Foreign words as one line of bearable length, without a full stop of their own."""
    flat = " ".join(text.split()).rstrip(".")
    return flat if len(flat) <= _MOST else flat[:_MOST] + "..."
