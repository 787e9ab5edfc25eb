"""The last turns, of all sessions together."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime
from typing import Any

from .models import (
    ContextMessage,
    ConversationContext,
    ConversationRole,
    ConversationTurn,
    ShortTermMemoryConfig,
)


class ShortTermMemory:
    def __init__(self, config: ShortTermMemoryConfig | None = None) -> None:
        self.config = config or ShortTermMemoryConfig()
        self.turns: deque[ConversationTurn] = deque(maxlen=self.config.max_turns)
        self.session_start = datetime.now()
        self.turn_count = 0

    def add_turn(self, role: str, content: str) -> ConversationTurn:
        if role not in [known.value for known in ConversationRole]:
            known_roles = list(ConversationRole)
            raise ValueError(f"Invalid role '{role}', expected one of: {known_roles}")
        turn = ConversationTurn(
            role=ConversationRole(role), content=content, turn_id=self.turn_count
        )
        self.turn_count += 1
        self.turns.append(turn)
        return turn

    def get_context(self, max_tokens: int = 800) -> ConversationContext:
        spoken = [turn for turn in self.turns if turn.role is not ConversationRole.SYSTEM]
        system = [turn for turn in self.turns if turn.role is ConversationRole.SYSTEM][:1]
        if not self.config.include_system_in_context:
            system = []
        system = [turn for turn in system if self._estimate_tokens(turn.content) <= max_tokens]
        used = sum(self._estimate_tokens(turn.content) for turn in system)
        kept: list[ConversationTurn] = []
        for turn in reversed(spoken):
            cost = self._estimate_tokens(turn.content)
            if used + cost > max_tokens:
                break
            used += cost
            kept.insert(0, turn)
        return ConversationContext(
            messages=[ContextMessage(role=t.role, content=t.content) for t in system + kept],
            total_tokens=used,
            short_term_turns=len(kept),
            long_term_memories=0,
        )

    def get_recent_turns(self, count: int = 10) -> list[ConversationTurn]:
        return list(self.turns)[-count:] if count > 0 else []

    def clear(self) -> None:
        self.turns.clear()
        self.turn_count = 0
        self.session_start = datetime.now()

    def get_stats(self) -> dict[str, Any]:
        lengths = [len(turn.content) for turn in self.turns]
        times = [turn.timestamp for turn in self.turns]
        stats: dict[str, Any] = {
            "total_turns": len(lengths),
            "roles": dict(Counter(turn.role.value for turn in self.turns)),
            "session_duration_seconds": 0,
            "average_content_length": sum(lengths) / len(lengths) if lengths else 0,
            "total_content_length": sum(lengths),
            "oldest_turn": min(times, default=None),
            "newest_turn": max(times, default=None),
        }
        if lengths:
            stats |= {
                "session_duration_seconds": (datetime.now() - self.session_start).total_seconds(),
                "max_turns": self.config.max_turns,
                "max_tokens": self.config.max_tokens,
            }
        return stats

    def _estimate_tokens(self, text: str) -> int:
        return max(1, len(text) // 4)
