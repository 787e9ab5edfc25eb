"""Web and mail addresses, file names and paths, as a person would say them in English."""

from __future__ import annotations

import re

from .numerals import digits

_URL = re.compile(r"(?i)(?:(?:https?|ftp|wss?)://(?:[^\s/@]{1,200}@)?|www\.)([^\s/?#]{1,253})")
_HOST = re.compile(
    r"(?i)((?:[a-z0-9-]{1,63}\.){1,6}(?:com|org|net|edu|gov|io|ai|dev|app|co|uk|us|de|fr|es|it|nl|"
    r"ch|at|eu|info|biz|me|tv|ly|gg|jp|cn|in|br|au|ca|xyz|tech|cloud))(:[0-9]{1,5})?(?:[/?#]\S*)?"
)
_MAIL = re.compile(r"(?i)(?:mailto:)?([\w.+-]{1,64})@((?:[\w-]{1,63}\.){1,6}[a-z]{2,24})")
_PATH = re.compile(
    r"(?:~|\.{1,2})?(?:/[\w.@+-]{1,64}){1,16}/?"
    r"|(?:[\w.@+-]{1,64}/){1,16}[\w@+-]{1,64}(?:\.\w{1,8}){1,3}"
)
_FILE = re.compile(r"\.?[^\W\d][\w-]{0,63}(?:\.[^\W\d]\w{0,15}){1,4}|\.[^\W\d]\w{1,30}")
_SENTENCES = re.compile(r"[a-z]\.[A-Z][a-z]")
_ABOUT = {".": "dot", "-": "dash", "_": "underscore", "+": "plus", "/": "slash", "~": "tilde"}
_PIECES = re.compile(r"[^\W\d_]+|[0-9]+|[-._+/~]")
_KNOWN = {"json": "jason", "yaml": "yammel"}


def address(word: str) -> str | None:
    """How to say ``word`` if it is a URL, a host or a mail address. Of a URL the host is said."""
    if "@" in word and (mail := _MAIL.fullmatch(word)):
        return f"{_spell(mail[1])} at {_spell(mail[2])}"
    if url := _URL.match(word):
        return host(url[1])
    if "." in word and (found := _HOST.fullmatch(word)):
        return host(found[1] + (found[2] or ""))
    return None


def host(name: str) -> str | None:
    """ "www.x.org:80" is "x dot org port eight zero"; None if nothing in it can be said."""
    name, _, port = name.partition(":")
    words = _spell(name.removeprefix("www."))
    if words and port.isdecimal():
        words += f" port {digits(port)}"
    return words or None


def path(word: str) -> str | None:
    """How to say ``word`` if it is a file name ("main dot py") or a path."""
    if "/" in word:
        return _spell(word.rstrip("/")) or None if _PATH.fullmatch(word) else None
    if "." in word and _FILE.fullmatch(word) and not _SENTENCES.search(word):
        return _spell(word, underscore=" ")
    return None


def _spell(text: str, underscore: str = "underscore") -> str:
    said: list[str] = []
    for piece in _PIECES.findall(text):
        if piece == "_":
            said.append(underscore)
        elif piece in _ABOUT:
            said.append(_ABOUT[piece])
        elif piece.isascii() and piece.isdigit():
            said.append(digits(piece))
        elif piece in _KNOWN and said[-1:] == ["dot"]:
            said.append(_KNOWN[piece])
        else:
            said.append(piece)
    return " ".join(" ".join(said).split())
