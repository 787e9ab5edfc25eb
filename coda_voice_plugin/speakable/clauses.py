"""Cut a stream of written words into pieces that can be spoken.

The first piece decides how soon the answer is heard, so it may end at a comma;
later ones are whole sentences, which sound better.
"""

from __future__ import annotations

import re

_ABBREVIATIONS = {"mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "e.g", "i.e", "u.s"}
_SENTENCE = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|\n+")
# The next token would tell whether a sentence is really over ("3" "." "5"); the first
# sentence does not wait for it where a whole word stands before the mark.
_EARLY = re.compile(r"[a-z]{2,}[.!?][\"')\]]*$")
_CLAUSE = re.compile(r"[,;:](?=\s)|\s[-–—](?=\s)")
FIRST_CLAUSE = 16
"""Least characters of a first piece that ends at a comma."""
LONG_CLAUSE = 160
"""A sentence longer than this is cut at a comma too."""


class ClauseSplitter:
    """Feed it text as it is written; it gives back what can be spoken."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def push(self, text: str) -> list[str]:
        """Take more text; return the clauses that are now whole."""
        self._text += text
        clauses = []
        while (cut := self._cut()) is not None:
            clause, self._text = self._text[:cut].strip(), self._text[cut:]
            if clause:
                clauses.append(clause)
                self._first = False
        return clauses

    def finish(self) -> list[str]:
        """The text is complete: return what is left."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []

    def _cut(self) -> int | None:
        for match in _SENTENCE.finditer(self._text):
            if not _is_abbreviation(self._text[: match.start()], match.group()):
                early = self._comma(FIRST_CLAUSE, match.end()) if self._first else None
                return early or match.end()
        if self._first:
            early = self._comma(FIRST_CLAUSE, len(self._text))
            return early or self._early_end()
        if len(self._text) > LONG_CLAUSE:
            return self._comma(LONG_CLAUSE // 2, len(self._text))
        return None

    def _early_end(self) -> int | None:
        match = _EARLY.search(self._text)
        if match is None or _is_abbreviation(self._text[: match.end() - 1], "."):
            return None
        return match.end()

    def _comma(self, least: int, end: int) -> int | None:
        for match in _CLAUSE.finditer(self._text, 0, end):
            if match.end() >= least:
                return match.end()
        return None


def _is_abbreviation(before: str, mark: str) -> bool:
    if mark != ".":
        return False
    word = before.rsplit(None, 1)[-1].lower().lstrip("(\"'") if before.strip() else ""
    return word in _ABBREVIATIONS or (word.isdigit() and len(before.split()) <= 1)
