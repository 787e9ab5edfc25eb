"""Leaves out of an answer what the model thinks aloud, while it is streamed.

Thinking belongs into a field of its own, and servers put it there. Older ones,
and models with unusual templates, leave it in the text between tags.
"""

from __future__ import annotations

import re

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPEN = re.compile(rf"<({'|'.join(_TAGS)})>", re.IGNORECASE)
_STRAY = re.compile(rf"</?({'|'.join(_TAGS)})>", re.IGNORECASE)
_LONGEST = max(len(f"</{tag}>") for tag in _TAGS)


class ThoughtFilter:
    """``<think>`` blocks and stray tags go; all else stays, however the text was split.

    A block that is never closed lasts to the end of the answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._close = ""
        """The tag that ends the block we are in."""

    def push(self, text: str) -> str:
        """The next piece of the answer in, what may be spoken out."""
        self._held += text
        spoken = []
        while self._held:
            if self._close:
                if not self._skip():
                    break
            else:
                spoken.append(self._speak())
                if not self._close:
                    break
        return "".join(spoken)

    def finish(self) -> str:
        """The answer is over: what was held back for a tag that did not come."""
        rest, self._held = self._held, ""
        return "" if self._close else rest

    def _speak(self) -> str:
        """Take what stands before a block, and enter it."""
        spoken = []
        while found := _STRAY.search(self._held):
            spoken.append(self._held[: found.start()])
            self._held = self._held[found.end() :]
            if opened := _OPEN.fullmatch(found[0]):
                self._close = f"</{opened[1].lower()}>"
                return "".join(spoken)
        cut = _may_begin_a_tag(self._held)
        spoken.append(self._held[:cut])
        self._held = self._held[cut:]
        return "".join(spoken)

    def _skip(self) -> bool:
        """Drop what is thought; False while its end has not come."""
        end = self._held.lower().find(self._close)
        if end < 0:
            self._held = self._held[-len(self._close) :]
            return False
        self._held = self._held[end + len(self._close) :]
        self._close = ""
        return True


def _may_begin_a_tag(text: str) -> int:
    """Where the last characters begin that more text could make a tag of."""
    start = text.rfind("<", max(0, len(text) - _LONGEST + 1))
    if start >= 0:
        tail = text[start:].lower()
        if any(full.startswith(tail) for tag in _TAGS for full in (f"<{tag}>", f"</{tag}>")):
            return start
    return len(text)
