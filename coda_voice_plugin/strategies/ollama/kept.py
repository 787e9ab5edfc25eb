"""Answers kept for the next one who begins with the same words."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator

from coda_voice_plugin import Message, Prompt, ToolCall

Key = tuple[str, tuple[Message, ...]]


class KeptAnswers:
    """The answers of all calls to first words, by mind and exact prompt, latest used last."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, str] = OrderedDict()

    def find(self, label: str, prompt: Prompt) -> str | None:
        """The kept answer of the mind ``label`` to ``prompt``."""
        if not _is_plain(prompt):
            return None
        key = (label, prompt.messages)
        if key not in self._answers:
            return None
        self._answers.move_to_end(key)
        return self._answers[key]

    def keep(self, label: str, prompt: Prompt, answer: str, most: int) -> None:
        """Keep a whole answer, if it depended on the user's words alone; the least used of
        more than ``most`` goes."""
        if most and _is_plain(prompt) and answer.strip():
            self._answers[label, prompt.messages] = answer
        while len(self._answers) > most:
            self._answers.popitem(last=False)


def _is_plain(prompt: Prompt) -> bool:
    """Whether the answer depends on the user's words alone."""
    return not prompt.tools and [each.role for each in prompt.messages] == ["system", "user"]


async def replay(answer: str) -> AsyncGenerator[str | ToolCall, None]:
    """A kept answer, as if the mind wrote it."""
    yield answer
