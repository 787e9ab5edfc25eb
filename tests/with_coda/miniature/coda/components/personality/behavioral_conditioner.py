"""What the user wants an answer to be like."""

from __future__ import annotations

import re
from collections import deque
from datetime import datetime
from typing import Any

from .models import (
    BehavioralConditioningConfig,
    BehaviorProfile,
    PersonalityTraitType,
    Shares,
)

WISHES = {
    PersonalityTraitType.VERBOSITY: ("more detail|elaborate|explain more", "be brief|shorter"),
    PersonalityTraitType.HUMOR: ("be funny|make jokes|be playful", "be serious|no jokes"),
    PersonalityTraitType.FORMALITY: ("be formal|professional", "be casual|informal|relaxed"),
    PersonalityTraitType.EMPATHY: ("be understanding|caring", "be objective|factual|neutral"),
}
"""More of a trait, and less of it."""
PRAISE = r"\b(good|great|excellent|perfect|helpful|thanks|appreciate)\b"
BLAME = r"\b(bad|wrong|unhelpful|confusing|too much|too little)\b"


class BehavioralConditioner:
    def __init__(self, config: BehavioralConditioningConfig | None = None) -> None:
        self.config = config or BehavioralConditioningConfig()
        self.behavior_profile = BehaviorProfile()
        self.recent_interactions: deque[dict[str, Any]] = deque(
            maxlen=self.config.max_recent_interactions
        )

    async def process_user_input(self, user_input: str) -> dict[str, Any]:
        self._remember(user_input, "user_input")
        wishes = _wishes(user_input)
        return {
            "explicit_patterns": {trait: 0.5 + 0.3 * sign for trait, sign in wishes.items()},
            "engagement": {"score": 0.5, "level": "medium"},
            "style_preferences": {"formality": 0.5, "directness": 0.5, "detail_preference": 0.5},
            "suggestions": {trait: 0.15 * sign for trait, sign in wishes.items()},
        }

    async def process_user_feedback(
        self, feedback: str, feedback_type: str = "general"
    ) -> dict[str, Any]:
        """Traits are changed only where the feedback speaks of tone, style or "how you"."""
        self._remember(feedback, "user_feedback")
        praise, blame = (len(re.findall(each, feedback, re.I)) for each in (PRAISE, BLAME))
        sentiment = (praise - blame) / (praise + blame) if praise + blame else 0.0
        about_style = re.search(r"\b(tone|style|way you|how you)\b", feedback, re.I)
        style = {t: 0.2 * sign for t, sign in _wishes(feedback).items()} if about_style else {}
        for trait, share in style.items():
            known = self.behavior_profile.user_preferences.get(trait, 0.5)
            wanted = min(max(known + share, 0.0), 1.0)
            self.behavior_profile.update_preference(trait, wanted, abs(sentiment))
        kind = "positive_feedback" if sentiment > 0 else "negative_feedback"
        return {
            "sentiment": sentiment,
            "style_feedback": style,
            "pattern": {"pattern_type": kind, "confidence": abs(sentiment), "evidence": [feedback]},
            "profile_updated": True,
        }

    async def analyze_interaction_patterns(self) -> list[Any]:
        return []

    async def suggest_personality_adjustments(self) -> Shares:
        suggested = {}
        for trait, wanted in self.behavior_profile.user_preferences.items():
            sure = self.behavior_profile.confidence_scores.get(trait, 0.0)
            share = (wanted - 0.5) * self.config.learning_rate * sure
            if sure >= self.config.confidence_threshold and abs(share) > 0.05:
                suggested[trait] = share
        return suggested

    def get_behavior_profile(self) -> BehaviorProfile:
        return self.behavior_profile

    def _remember(self, text: str, kind: str) -> None:
        self.recent_interactions.append({"text": text, "type": kind, "timestamp": datetime.now()})


def _wishes(text: str) -> dict[PersonalityTraitType, int]:
    found = {}
    for trait, patterns in WISHES.items():
        for sign, pattern in zip((1, -1), patterns, strict=True):
            if trait not in found and re.search(rf"\b({pattern})\b", text, re.I):
                found[trait] = sign
    return found
