"""What the conversation is about, by single words."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from .models import (
    PersonalityTraitType,
    Shares,
    TopicAwarenessConfig,
    TopicCategory,
    TopicContext,
)

WORDS = {
    TopicCategory.TECHNICAL: "programming code software python database server linux",
    TopicCategory.CREATIVE: "art music poetry story painting design",
    TopicCategory.EDUCATIONAL: "school university lesson physics history",
    TopicCategory.ENTERTAINMENT: "game movie joke comedy sport",
    TopicCategory.PERSONAL: "feel family friend sad happy worried love",
    TopicCategory.PROFESSIONAL: "job career business meeting deadline client",
    TopicCategory.CASUAL: "weather food cooking travel weekend",
    TopicCategory.EMERGENCY: "emergency urgent crisis broken danger",
}
ADJUSTED = {
    TopicCategory.TECHNICAL: {"verbosity": 0.2, "analytical": 0.3, "humor": -0.2},
    TopicCategory.CREATIVE: {"creativity": 0.3, "enthusiasm": 0.2, "formality": -0.2},
    TopicCategory.EDUCATIONAL: {"verbosity": 0.2, "analytical": 0.2, "proactivity": 0.2},
    TopicCategory.ENTERTAINMENT: {"humor": 0.3, "enthusiasm": 0.3, "formality": -0.3},
    TopicCategory.PERSONAL: {"empathy": 0.3, "formality": -0.2, "humor": -0.1},
    TopicCategory.PROFESSIONAL: {"formality": 0.3, "assertiveness": 0.2, "humor": -0.2},
    TopicCategory.CASUAL: {"formality": -0.3, "humor": 0.1},
    TopicCategory.EMERGENCY: {"assertiveness": 0.4, "confidence": 0.3, "humor": -0.4},
}


class TopicAwareness:
    def __init__(self, config: TopicAwarenessConfig | None = None) -> None:
        self.config = config or TopicAwarenessConfig()
        self.current_topic = TopicContext()

    async def detect_topic(self, text: str) -> TopicContext:
        spoken = re.findall(r"\w+", text.lower())
        hits = {kind: [w for w in spoken if w in words.split()] for kind, words in WORDS.items()}
        scores = Counter({kind: len(found) for kind, found in hits.items() if found})
        if not scores:
            return TopicContext()
        kind, most = scores.most_common(1)[0]
        return TopicContext(
            current_topic=max(hits[kind], key=len),
            category=kind,
            confidence=most / sum(scores.values()),
            keywords=[word for found in hits.values() for word in found][:10],
        )

    async def process_user_input(self, user_input: str) -> TopicContext:
        found = await self.detect_topic(user_input)
        if found.confidence >= self.config.confidence_threshold:
            past = self.current_topic
            if past.current_topic:
                told = {"topic": past.current_topic, "category": past.category.value}
                found.topic_history = [*past.topic_history, told][-self.config.max_topic_history :]
            self.current_topic = found
        return self.current_topic

    async def get_topic_personality_adjustments(self, topic_context: TopicContext) -> Shares:
        shares = ADJUSTED.get(topic_context.category, {})
        sure = topic_context.confidence
        return {PersonalityTraitType(name): share * sure for name, share in shares.items()}

    def get_current_topic(self) -> TopicContext:
        return self.current_topic

    def clear_topic_history(self) -> None:
        self.current_topic.topic_history.clear()

    def get_topic_stats(self) -> dict[str, Any]:
        return {"total_topics": len(self.current_topic.topic_history)}
