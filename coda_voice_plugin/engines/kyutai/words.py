"""Text as Kyutai's voice takes it: word by word."""

from __future__ import annotations

from collections.abc import AsyncIterator


def speakable_words(text: str) -> list[str]:
    """The words of ``text``: what has a letter or a digit.

    One by one, the model's script cannot take ``<break time="9s"/>`` for a command.
    """
    clean = text.encode(errors="ignore").decode()
    return [word for word in clean.split() if any(map(str.isalnum, word))]


async def once(text: str) -> AsyncIterator[str]:
    """A text that is known as a whole."""
    yield text
