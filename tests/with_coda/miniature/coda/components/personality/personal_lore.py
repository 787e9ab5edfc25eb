"""What the assistant says of itself; three times in ten, when a prompt is written."""

from __future__ import annotations

import random
from typing import Any

from .models import PersonalLoreConfig


class PersonalLoreManager:
    def __init__(self, config: PersonalLoreConfig | None = None) -> None:
        self.config = config or PersonalLoreConfig()

    def enhance_prompt(self, prompt: str, context: str, keywords: list[str]) -> str:
        often = self.config.lore_injection_probability
        more = "\n\nPersonal Background:\nI help people and like to learn."
        return prompt + more if random.random() <= often else prompt

    def format_response_with_lore(
        self, response: str, context: str, trigger_words: list[str] | None = None
    ) -> str:
        return response

    def update_lore_from_interaction(
        self, user_input: str, assistant_response: str, context: str
    ) -> dict[str, Any]:
        return {"new_triggers_added": 0, "usage_updated": 0}

    def get_lore_usage_stats(self) -> dict[str, Any]:
        return {"total_quirks": 0, "total_memories": 0, "quirk_usage": [], "memory_usage": []}
