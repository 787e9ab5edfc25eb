"""What a mind reads and writes, and how it should sound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a conversation as a language model reads it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    """Name of the tool, for role "tool"."""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call. ``parameters`` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Awaitable[str]]
    """Does it, and returns in words what came of it; may raise."""
    deadline_s: float | None = None
    """Seconds it may take, then it is cancelled; None leaves it to ``tools.deadline_ms``."""
    slow: bool = False
    """It takes longer than one likes to wait: something is said before it begins."""
    dangerous: bool = False
    """It runs only after the user has said yes to :attr:`question`."""
    question: str = ""
    """Asked before a dangerous tool runs: ``Shall I delete {file}?`` with the arguments'
    names in braces. Empty: made from the name and the arguments."""


@dataclass(frozen=True, slots=True)
class SpeakingStyle:
    """How a reply should sound; engines use what they can."""

    pace: float = 1.0
    """1.0 is the voice's own speed; 0.5 to 2.0."""
    voice: str | None = None
    guidance: str | None = None
    """A sentence for the mind: warmth, length, manner."""
