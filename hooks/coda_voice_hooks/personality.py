"""Coda's personality as a guest of the voice: how a reply sounds, and what is learned of a turn."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any, Literal, Protocol

from coda_voice_plugin import Call, SpeakingStyle, Turn, hookimpl
from coda_voice_plugin.events import Flush, Held, ServerEvent, StateChanged, UserSpeech, UserText

from .character import Character, Parameters
from .feedback import PACE, wishes_in
from .settings import CodaSettings
from .traits import guidance, pace

logger = logging.getLogger(__name__)

Cause = Literal["speech", "writing", "stop"]

EARLY_MS = 5_000
"""Who interrupts before that did not want this; who does later has heard enough."""
LESS = {"early": 0.02, "late": 0.05}
"""What an interruption takes of the verbosity."""
SLOWEST, FASTEST = 0.6, 1.5
"""Pace at most, whatever was asked for."""

CLOSING = "The conversation draws to its end ({}): bring it to a friendly close."


class CodasPersonality(Protocol):
    """What is used of Coda's ``PersonalityManager``."""

    @property
    def parameters(self) -> Parameters: ...

    def get_personality_state(self) -> dict[str, Any]: ...

    def reset_session(self, new_session_id: str) -> None: ...

    async def process_user_input(self, user_input: str) -> dict[str, Any]: ...

    async def process_assistant_response(self, response: str) -> dict[str, Any]: ...

    async def process_feedback(
        self, feedback: str, feedback_type: str = "general"
    ) -> dict[str, Any]: ...

    async def update_from_interaction(self, user_input: str, assistant_response: str) -> None: ...


class _Manner:
    """What one call asked for, and what happens in it."""

    def __init__(self) -> None:
        self.pace = 1.0
        self.offsets: dict[str, float] = {}
        """Wishes that are kept for this call only."""
        self.heard = ""
        """The user's newest words, until their turn is over."""
        self.spoke = False
        self.wrote = False
        self.causes: dict[int, Cause] = {}
        self.failed = False

    def notice(self, event: ServerEvent) -> None:
        """Keep what may explain an interruption."""
        if isinstance(event, UserText):
            self.heard = event.text
            self.wrote = self.wrote or (event.final and not self.spoke)
        elif isinstance(event, UserSpeech) and event.active:
            self.spoke = True
        elif isinstance(event, Held) and not event.held:
            self.spoke = False  # it was no interruption
        elif isinstance(event, Flush):
            self.causes[event.turn] = (
                "speech" if self.spoke else "writing" if self.wrote else "stop"
            )
        elif isinstance(event, StateChanged) and event.state == "thinking":
            self.spoke = self.wrote = False


class PersonalityHooks:
    """Style and learning for all calls. ``find`` gives the manager that Coda uses now."""

    def __init__(self, find: Callable[[], CodasPersonality | None], settings: CodaSettings) -> None:
        self._find = find
        self._settings = settings
        self._calls: dict[str, _Manner] = {}
        self._characters: weakref.WeakKeyDictionary[Any, Character] = weakref.WeakKeyDictionary()

    @hookimpl
    def session_started(self, call: Call) -> None:
        self._calls[call.id] = _Manner()
        manager = self._find()
        if manager is not None and _session(manager)["in_closure_mode"]:
            manager.reset_session(call.id)  # it was another conversation that came to its end

    @hookimpl
    def session_ended(self, call: Call) -> None:
        self._calls.pop(call.id, None)

    @hookimpl
    def event_sent(self, call: Call, event: ServerEvent) -> None:
        self._of(call).notice(event)

    @hookimpl
    def speaking_style(self, call: Call) -> SpeakingStyle | None:
        manager = self._find()
        if manager is None:
            return None
        manner = self._of(call)
        traits = dict(self._character(manager).values())
        for name, change in manner.offsets.items():
            traits[name] = traits.get(name, 0.5) + change
        speed = manner.pace
        for wish in wishes_in(manner.heard):  # what was just said counts for its own answer
            if wish.about == PACE:
                speed *= wish.change
            else:
                traits[wish.about] = traits.get(wish.about, 0.5) + wish.change
        # Coda's own enhance_prompt adds no more than this, and lore at random
        sentences = guidance(traits)
        session = _session(manager)
        if session["in_closure_mode"]:
            sentences.append(CLOSING.format(session["closure_reason"]))
        return SpeakingStyle(
            round(_bounded(speed * pace(traits)), 2),
            self._settings.voice,
            " ".join(sentences) or None,
        )

    @hookimpl
    async def turn_completed(self, call: Call, turn: Turn) -> None:
        manager = self._find()
        manner = self._of(call)
        wishes = wishes_in(turn.user)
        manner.heard = ""
        for wish in wishes:
            if wish.about == PACE:
                manner.pace = _bounded(manner.pace * wish.change)
        cause = manner.causes.pop(turn.index, "stop")
        if manager is None:
            return
        if not (self._settings.personality_learns and call.config.personality_integration_enabled):
            for wish in wishes:
                if wish.about != PACE:
                    manner.offsets[wish.about] = manner.offsets.get(wish.about, 0) + wish.change
            return
        character = self._character(manager)
        character.begin_turn()
        try:
            if wishes:
                await manager.process_feedback(turn.user, "voice")
            await self._learn(call, manner, manager, turn)
            _reopen(manager, character)
        finally:
            for wish in wishes:
                if wish.about != PACE:
                    character.wish(wish.about, wish.change, f"asked for by voice: {turn.user}")
            if turn.interrupted and turn.heard_ms:
                _note_interruption(character, cause, turn.heard_ms)
            character.end_turn()

    def _of(self, call: Call) -> _Manner:
        return self._calls.setdefault(call.id, _Manner())

    def _character(self, manager: CodasPersonality) -> Character:
        if manager not in self._characters:
            self._characters[manager] = Character(manager.parameters)
        return self._characters[manager]

    async def _learn(
        self, call: Call, manner: _Manner, manager: CodasPersonality, turn: Turn
    ) -> None:
        """Let the personality see the turn as it was heard."""
        if turn.user:
            await manager.process_user_input(turn.user)
        if turn.assistant:
            await manager.process_assistant_response(turn.assistant)
        if turn.user and turn.assistant:
            try:
                await manager.update_from_interaction(turn.user, turn.assistant)
            except Exception:  # a manager that fails must not end the conversation
                if not manner.failed:
                    manner.failed = True
                    logger.exception("session %s: nothing is learned of its turns", call.id)


def _note_interruption(character: Character, cause: Cause, heard_ms: float) -> None:
    when = "early" if heard_ms < EARLY_MS else "late"
    why = "not what was wanted" if when == "early" else "too long"
    reason = f"interrupted by {cause} after {heard_ms / 1000:.1f} s: {why}"
    character.lower_verbosity(LESS[when], reason)


def _reopen(manager: CodasPersonality, character: Character) -> None:
    """Who goes on talking does not end the conversation: a "thanks" is enough for the core
    to close it, and nothing opens it again."""
    session = _session(manager)
    character.closings = character.closings + 1 if session["in_closure_mode"] else 0
    if character.closings > 1:
        character.closings = 0
        manager.reset_session(session["id"])


def _session(manager: CodasPersonality) -> dict[str, Any]:
    session: dict[str, Any] = manager.get_personality_state()["session"]
    return session


def _bounded(speed: float) -> float:
    return min(FASTEST, max(SLOWEST, speed))
