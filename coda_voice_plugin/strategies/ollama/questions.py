"""Shall I? Dangerous tools run only after a spoken yes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from coda_voice_plugin import MIC_RATE, Tool, ToolCall, Utterance
from coda_voice_plugin.config.model import ToolSettings

_PLACE = re.compile(r"\{(\w+)\}")
_SILENT = re.compile(r"[^\w\s']")


class Question:
    """Calls that wait for the user's consent. The next utterance decides.

    Only a clear yes, begun within ``tools.confirm_ms``, is one; another word, silence,
    or an interruption of the question is a no.
    """

    def __init__(
        self,
        calls: Sequence[ToolCall],
        dangerous: Sequence[tuple[Tool, ToolCall]],
        settings: ToolSettings,
    ) -> None:
        self.calls = tuple(calls)
        """All that the mind asked for together; none of it has been run."""
        self.text = " ".join(_wording(tool, call.arguments) for tool, call in dangerous)
        self.heard_at = float("inf")
        """When the user had heard it to its end."""
        names = ", ".join(call.name for call in calls)
        self.refusal = f"The user did not agree to {names}: it was not run."
        self._settings = settings
        self._decided = False

    def agreed(self, text: str) -> bool:
        """Whether ``text`` is a yes and nothing else."""
        said = " ".join(_SILENT.sub(" ", text.casefold()).split())
        phrases = "|".join(re.escape(each.casefold()) for each in self._settings.yes)
        return bool(phrases) and re.fullmatch(f"({phrases})( ({phrases}))*", said) is not None

    def accept(self, utterance: Utterance) -> bool:
        """Decide by a yes: whether ``utterance`` is the first after the question, and began
        soon enough."""
        began = utterance.moment - (utterance.end - utterance.start) / MIC_RATE
        in_time = began <= self.heard_at + self._settings.confirm_ms / 1000
        accepted = in_time and not self._decided
        self._decided = True
        return accepted

    def decline(self) -> None:
        """Something else was said."""
        self._decided = True


def _wording(tool: Tool, arguments: Mapping[str, Any]) -> str:
    if tool.question:
        return _PLACE.sub(lambda place: str(arguments.get(place[1], "")), tool.question)
    details = ", ".join(f"{name} {value}" for name, value in arguments.items())
    name = tool.name.replace("_", " ")
    return f"Shall I do this: {name}{', with ' if details else ''}{details}?"
