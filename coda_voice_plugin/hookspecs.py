"""The doors for guests. ``docs/hooks.md`` documents each with its exact signature.

Write module-level functions (or methods of an object) decorated with
:data:`hookimpl`; take any subset of the arguments, without defaults (pluggy does
not pass an argument that has one); plain or ``async``.

* *give*: asked once at start-up; a failure stops start-up and names the plugin.
* *ask*: asked before a reply, side by side, each with a deadline; late or failed
  answers are left out, logged and counted by plugin.
* *tell*: told afterwards; a failure is logged and counted, the call goes on.

Hooks serve turns, never audio frames.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:  # a command of a plugin needs the mark below and nothing else, at once
    import click

    from .config import VoiceConfig
    from .engine import LanguageModel, SpeechToText, TextToSpeech
    from .events import ServerEvent, SpeakingStyle, Tool, Turn
    from .session import Call
    from .strategy import Strategy

GROUP = "coda_voice"
"""Entry-point group, and pluggy's project name."""

hookspec = HookspecMarker(GROUP)
hookimpl = HookimplMarker(GROUP)

FindingState = Literal["ok", "slow", "broken", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `coda-voice doctor` looked at, and how it stands.

    ``slow`` works, but not as well as it could; a ``note`` is good to know and no fault.
    """

    state: FindingState
    what: str
    remedy: str = ""
    """What to do about it, best a command; empty where there is nothing to do."""

    def __str__(self) -> str:
        return f"{self.state:<7} {self.what}" + (f"\n{'':8}-> {self.remedy}" if self.remedy else "")


Check = Callable[[], Iterable[Finding]]
"""Looks at something and tells what it finds."""


@hookspec
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    """Offer ways of holding a conversation: call ``register(MyStrategy)``."""


@hookspec
def register_stt(register: Callable[[type[SpeechToText]], None]) -> None:
    """Offer ears: call ``register(MySpeechToText)``."""


@hookspec
def register_tts(register: Callable[[type[TextToSpeech]], None]) -> None:
    """Offer mouths: call ``register(MyTextToSpeech)``."""


@hookspec
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    """Offer minds: call ``register(MyLanguageModel)``."""


@hookspec
def register_protocols(register: Callable[[str, Callable[..., object]], None]) -> None:
    """Offer wire protocols: call ``register("/path", handler)``, an aiohttp handler."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to ``coda-voice``."""


@hookspec
def register_checks(
    register: Callable[[str, Check], None], config: VoiceConfig | None, file: Path | None
) -> None:
    """Offer checks to ``coda-voice doctor``: call ``register("Title", check)``.

    ``config`` is None when the settings are faulty, ``file`` when none was given.
    """


@hookspec
def reply_context(call: Call, user_text: str) -> Awaitable[str | None] | str | None:
    """Return text the mind should read before it answers, or None."""


@hookspec
def reply_tools(call: Call) -> Awaitable[Sequence[Tool] | None] | Sequence[Tool] | None:
    """Return the tools that the mind may call in this reply, or None."""


@hookspec
def speaking_style(call: Call) -> Awaitable[SpeakingStyle | None] | SpeakingStyle | None:
    """Return how the reply should sound, or None."""


@hookspec
def session_started(call: Call) -> Awaitable[None] | None:
    """A conversation began."""


@hookspec
def session_ended(call: Call, error: BaseException | None) -> Awaitable[None] | None:
    """A conversation is over; ``error`` is what broke it, or None."""


@hookspec
def event_sent(call: Call, event: ServerEvent) -> Awaitable[None] | None:
    """The client was told ``event`` (never a Speech frame)."""


@hookspec
def turn_completed(call: Call, turn: Turn) -> Awaitable[None] | None:
    """An exchange was heard, or interrupted. Runs after the audio, once per turn."""
