"""How long the conversation has gone on, and whether it comes to its end."""

from __future__ import annotations

import uuid
from typing import Any

from .models import PersonalityTraitType, SessionManagerConfig, SessionState, Shares

FAREWELLS = ("thanks", "thank you", "bye", "see you", "that's all", "got it")


class SessionManager:
    def __init__(
        self, config: SessionManagerConfig | None = None, session_id: str | None = None
    ) -> None:
        self.config = config or SessionManagerConfig()
        self.session_state = _begun(session_id)
        self.interaction_history: list[dict[str, Any]] = []

    def get_session_state(self) -> SessionState:
        self.session_state.update()
        return self.session_state

    def process_interaction(self, role: str, content: str) -> None:
        self.session_state.turn_count += 1
        self.session_state.update()
        self.interaction_history = [
            *self.interaction_history[-99:],
            {"role": role} | {"content": content},
        ]

    def update_session(self) -> SessionState:
        state = self.get_session_state()
        reason = self._reason_to_close(state)
        if reason and not state.in_closure_mode:
            state.enter_closure_mode(reason)
        return state

    def _reason_to_close(self, state: SessionState) -> str:
        if state.duration_seconds > 60 * self.config.long_session_threshold_minutes:
            return f"Long session ({state.duration_seconds / 60:.1f} minutes)"
        if state.idle_seconds > 60 * self.config.idle_threshold_minutes:
            return f"Idle timeout ({state.idle_seconds / 60:.1f} minutes)"
        lately = self.interaction_history[-4:] if len(self.interaction_history) >= 4 else []
        said = [each["content"].lower() for each in lately if each["role"] == "user"]
        if any(farewell in words for words in said for farewell in FAREWELLS):
            return "Natural conversation ending detected"
        return ""

    def enter_closure_mode(self, reason: str) -> Shares:
        self.session_state.enter_closure_mode(reason)
        return {
            PersonalityTraitType.PROACTIVITY: 0.3,
            PersonalityTraitType.EMPATHY: 0.2,
            PersonalityTraitType.VERBOSITY: -0.2,
            PersonalityTraitType.FORMALITY: 0.1,
        }

    def reset_session(self, new_session_id: str | None = None) -> None:
        self.session_state = _begun(new_session_id)
        self.interaction_history.clear()


def _begun(name: str | None) -> SessionState:
    return SessionState(session_id=name if name else str(uuid.uuid4()))
