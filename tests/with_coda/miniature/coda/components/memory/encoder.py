"""Turns become chunks of text that are worth storing."""

from __future__ import annotations

import itertools
import re

from .models import ConversationRole, ConversationTurn, MemoryChunk, MemoryEncoderConfig


class MemoryEncoder:
    def __init__(self, config: MemoryEncoderConfig | None = None) -> None:
        self.config = config or MemoryEncoderConfig()

    def encode_conversation(
        self, turns: list[ConversationTurn], include_system: bool = False
    ) -> list[MemoryChunk]:
        """One chunk for each run of turns of one speaker, more when it is long."""
        spoken = [t for t in turns if include_system or t.role is not ConversationRole.SYSTEM]
        chunks = []
        for role, run in itertools.groupby(spoken, key=lambda turn: turn.role):
            together = list(run)
            text = " ".join(turn.content for turn in together)
            chunks += [
                MemoryChunk(
                    content=part,
                    speakers=[role.value],
                    turn_ids=[turn.turn_id for turn in together],
                    timestamp=together[0].timestamp,
                    topics=self.extract_topics(text),
                )
                for part in self.chunk_text(text)
            ]
        return chunks

    def calculate_importance(self, content: str) -> float:
        if not content.strip():
            return 0.0
        keywords = re.findall(
            rf"\b({'|'.join(self.config.importance_keywords)})\b", content, re.IGNORECASE
        )
        score = 0.5 + min(0.1 * len(keywords), 0.3) + min(len(content) / 1000, 0.2)
        score += min(0.05 * content.count("?"), 0.1) + min(0.02 * content.count("!"), 0.05)
        return min(score, 1.0)

    def extract_topics(self, content: str) -> list[str]:
        names = re.findall(r"\b[A-Z][a-z]{3,}\b", content)
        return sorted({name.lower() for name in names})[:10]

    def chunk_text(self, text: str) -> list[str]:
        size, step = self.config.chunk_size, self.config.chunk_size - self.config.chunk_overlap
        if len(text) <= size:
            return [text]
        parts = [text[start : start + size].strip() for start in range(0, len(text), step)]
        return [part for part in parts if len(part) >= self.config.min_chunk_length]
