"""Traits, topics, sessions and how they are set up."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field


class PersonalityTraitType(str, Enum):
    VERBOSITY = "verbosity"
    ASSERTIVENESS = "assertiveness"
    HUMOR = "humor"
    FORMALITY = "formality"
    PROACTIVITY = "proactivity"
    CONFIDENCE = "confidence"
    EMPATHY = "empathy"
    CREATIVITY = "creativity"
    ANALYTICAL = "analytical"
    ENTHUSIASM = "enthusiasm"


class TopicCategory(str, Enum):
    TECHNICAL = "technical"
    CASUAL = "casual"
    CREATIVE = "creative"
    EDUCATIONAL = "educational"
    ENTERTAINMENT = "entertainment"
    PERSONAL = "personal"
    PROFESSIONAL = "professional"
    EMERGENCY = "emergency"
    UNKNOWN = "unknown"


Shares = dict[PersonalityTraitType, float]


class PersonalityTrait(BaseModel):
    name: PersonalityTraitType
    value: float = Field(ge=0.0, le=1.0)
    default_value: float = Field(ge=0.0, le=1.0)
    min_value: float = 0.0
    max_value: float = 1.0
    description: str
    context_adjustments: dict[str, float] = Field(default_factory=dict)
    last_adjusted: datetime = Field(default_factory=datetime.now)
    adjustment_count: int = 0

    def adjust(self, delta: float, reason: str = "") -> float:
        """By how much it changed."""
        before = self.value
        self.value = min(max(before + delta, self.min_value), self.max_value)
        self.adjustment_count += 1
        self.last_adjusted = datetime.now()
        return self.value - before


class PersonalityParameters(BaseModel):
    traits: dict[PersonalityTraitType, PersonalityTrait] = Field(default_factory=dict)
    last_updated: datetime = Field(default_factory=datetime.now)
    version: str = "2.0.0"

    def get_trait(self, trait_type: PersonalityTraitType) -> PersonalityTrait | None:
        return self.traits.get(trait_type)

    def get_trait_value(self, trait_type: PersonalityTraitType) -> float:
        trait = self.get_trait(trait_type)
        return 0.5 if trait is None else trait.value


class BehaviorProfile(BaseModel):
    user_preferences: Shares = Field(default_factory=dict)
    confidence_scores: Shares = Field(default_factory=dict)
    observation_count: int = 0
    last_updated: datetime = Field(default_factory=datetime.now)

    def update_preference(
        self, trait_type: PersonalityTraitType, value: float, confidence: float
    ) -> None:
        before = self.confidence_scores.get(trait_type, 0.0)
        together = before + confidence
        if together > 0:
            known = self.user_preferences.get(trait_type, 0.5)
            self.user_preferences[trait_type] = (known * before + value * confidence) / together
            self.confidence_scores[trait_type] = min(together, 1.0)
        self.observation_count += 1


class TopicContext(BaseModel):
    current_topic: str | None = None
    category: TopicCategory = TopicCategory.UNKNOWN
    confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    keywords: list[str] = Field(default_factory=list)
    detected_at: datetime = Field(default_factory=datetime.now)
    topic_history: list[dict[str, Any]] = Field(default_factory=list)


class SessionState(BaseModel):
    session_id: str
    start_time: datetime = Field(default_factory=datetime.now)
    last_interaction: datetime = Field(default_factory=datetime.now)
    turn_count: int = 0
    duration_seconds: float = 0.0
    idle_seconds: float = 0.0
    in_closure_mode: bool = False
    closure_reason: str | None = None

    def update(self) -> None:
        now = datetime.now()
        lasted, idle = now - self.start_time, now - self.last_interaction
        self.duration_seconds, self.idle_seconds = lasted.total_seconds(), idle.total_seconds()

    def enter_closure_mode(self, reason: str) -> None:
        self.in_closure_mode, self.closure_reason = True, reason


class PersonalityAdjustment(BaseModel):
    trait_type: PersonalityTraitType
    old_value: float
    new_value: float
    delta: float
    reason: str
    confidence: float = Field(ge=0.0, le=1.0)
    timestamp: datetime = Field(default_factory=datetime.now)
    context: str | None = None


class PersonalityParameterConfig(BaseModel):
    default_traits: dict[PersonalityTraitType, dict[str, Any]] = Field(default_factory=dict)
    adjustment_limits: dict[str, float] = Field(default_factory=dict)


class BehavioralConditioningConfig(BaseModel):
    learning_rate: float = 0.1
    confidence_threshold: float = 0.7
    max_recent_interactions: int = 20
    pattern_detection_window: int = 10


class TopicAwarenessConfig(BaseModel):
    confidence_threshold: float = 0.5
    max_topic_history: int = 10


class PersonalLoreConfig(BaseModel):
    lore_injection_probability: float = 0.3


class SessionManagerConfig(BaseModel):
    long_session_threshold_minutes: int = 30
    idle_threshold_minutes: int = 10


class PersonalityConfig(BaseModel):
    parameters: PersonalityParameterConfig = Field(default_factory=PersonalityParameterConfig)
    behavioral_conditioning: BehavioralConditioningConfig = Field(
        default_factory=BehavioralConditioningConfig
    )
    topic_awareness: TopicAwarenessConfig = Field(default_factory=TopicAwarenessConfig)
    personal_lore: PersonalLoreConfig = Field(default_factory=PersonalLoreConfig)
    session_manager: SessionManagerConfig = Field(default_factory=SessionManagerConfig)
    websocket_events_enabled: bool = True
    analytics_enabled: bool = True
