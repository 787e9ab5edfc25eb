"""The character of the assistant, and how it changes with the conversation."""

from __future__ import annotations

from typing import Any

from .behavioral_conditioner import BehavioralConditioner
from .models import PersonalityAdjustment, PersonalityConfig, PersonalityTraitType
from .parameters import PersonalityParameterManager
from .personal_lore import PersonalLoreManager
from .session_manager import SessionManager
from .topic_awareness import TopicAwareness

Changes = dict[PersonalityTraitType, PersonalityAdjustment]


class PersonalityManager:
    def __init__(
        self, config: PersonalityConfig | None = None, session_id: str | None = None
    ) -> None:
        given = self.config = config or PersonalityConfig()
        self.session_manager = SessionManager(given.session_manager, session_id)
        self.parameters = PersonalityParameterManager(given.parameters)
        self.topic_awareness = TopicAwareness(given.topic_awareness)
        self.behavioral_conditioner = BehavioralConditioner(given.behavioral_conditioning)
        self.personal_lore = PersonalLoreManager(given.personal_lore)
        self.interaction_count = 0
        self.adjustment_history: list[PersonalityAdjustment] = []

    async def initialize(self) -> None:
        pass

    async def process_user_input(self, user_input: str) -> dict[str, Any]:
        self.interaction_count += 1
        self.session_manager.process_interaction("user", user_input)
        session = self.session_manager.update_session()
        behavior = await self.behavioral_conditioner.process_user_input(user_input)
        topic = await self.topic_awareness.process_user_input(user_input)
        of_topic = await self.topic_awareness.get_topic_personality_adjustments(topic)
        changed: Changes = {}
        wide = {trait: share for trait, share in of_topic.items() if abs(share) > 0.05}
        self._change(changed, wide, f"Topic context: {topic.category.value}", topic.confidence)
        self._change(changed, behavior["suggestions"], "Behavioral learning", 0.7)
        if session.in_closure_mode:
            reason = str(session.closure_reason)
            shares = self.session_manager.enter_closure_mode(reason)
            self._change(changed, shares, f"Session closure: {reason}", 0.8)
        self.adjustment_history = (self.adjustment_history + list(changed.values()))[-100:]
        traits = self.parameters.get_parameters().traits.values()
        return {
            "session_state": session.model_dump(),
            "topic_context": topic.model_dump(),
            "behavior_analysis": behavior,
            "personality_adjustments": {t: each.model_dump() for t, each in changed.items()},
            "current_parameters": {trait.name.value: trait.value for trait in traits},
        }

    def _change(
        self,
        changed: Changes,
        shares: dict[PersonalityTraitType, float],
        reason: str,
        confidence: float,
    ) -> None:
        for trait, share in shares.items():
            changed[trait] = self.parameters.adjust_trait(trait, share, reason, confidence)

    async def process_assistant_response(self, response: str) -> dict[str, Any]:
        self.session_manager.process_interaction("assistant", response)
        category = self.topic_awareness.get_current_topic().category.value
        return {
            "lore_updates": self.personal_lore.update_lore_from_interaction("", response, category),
            "behavior_patterns": await self.behavioral_conditioner.analyze_interaction_patterns(),
            "response_length": len(response),
            "session_turn": self.session_manager.session_state.turn_count,
        }

    async def enhance_prompt(self, prompt: str, context: str = "") -> str:
        topic = self.topic_awareness.get_current_topic()
        written = self.personal_lore.enhance_prompt(prompt, topic.category.value, topic.keywords)
        guidance = self._generate_personality_guidance(self.parameters.get_parameters())
        if guidance:
            written += f"\n\nPersonality Guidance:\n{guidance}"
        session = self.session_manager.get_session_state()
        if session.in_closure_mode:
            written += f"\n\nSession Context: the conversation ends ({session.closure_reason})."
        return written

    def _generate_personality_guidance(self, parameters: Any) -> str:
        brief = parameters.get_trait_value(PersonalityTraitType.VERBOSITY)
        funny = parameters.get_trait_value(PersonalityTraitType.HUMOR)
        parts = ["Answer in detail"] * (brief > 0.7) + ["Answer briefly"] * (brief < 0.3)
        parts += ["Joke where it suits"] * (funny > 0.6) + ["Stay serious"] * (funny < 0.2)
        return ". ".join(parts)

    async def format_response(self, response: str, context: str = "") -> str:
        category = self.topic_awareness.get_current_topic().category.value
        return self.personal_lore.format_response_with_lore(response, category, response.split())

    async def process_feedback(
        self, feedback: str, feedback_type: str = "general"
    ) -> dict[str, Any]:
        heard = await self.behavioral_conditioner.process_user_feedback(feedback, feedback_type)
        changed: Changes = {}
        self._change(changed, heard["style_feedback"], f"User feedback: {feedback_type}", 0.9)
        return {
            "feedback_analysis": heard,
            "personality_adjustments": {t: each.model_dump() for t, each in changed.items()},
            "learning_updated": True,
        }

    async def apply_learned_adjustments(self) -> dict[str, Any]:
        shares = await self.behavioral_conditioner.suggest_personality_adjustments()
        changed: Changes = {}
        self._change(changed, shares, "Learned behavior pattern", 0.6)
        told = {trait: each.model_dump() for trait, each in changed.items()}
        return {"adjustments_applied": len(changed), "adjustments": told}

    def get_personality_state(self) -> dict[str, Any]:
        topic = self.topic_awareness.get_current_topic()
        profile = self.behavioral_conditioner.get_behavior_profile()
        session = self.session_manager.get_session_state()
        return {
            "parameters": {
                trait.name.value: {
                    "value": trait.value,
                    "default": trait.default_value,
                    "deviation": trait.value - trait.default_value,
                    "adjustments": trait.adjustment_count,
                }
                for trait in self.parameters.get_parameters().traits.values()
            },
            "topic_context": {
                "current_topic": topic.current_topic,
                "category": topic.category.value,
                "confidence": topic.confidence,
                "keywords": topic.keywords,
            },
            "behavior_profile": {
                "preferences": {t.value: v for t, v in profile.user_preferences.items()},
                "confidence_scores": {t.value: v for t, v in profile.confidence_scores.items()},
                "observation_count": profile.observation_count,
            },
            "session": {
                "id": session.session_id,
                "duration_minutes": session.duration_seconds / 60,
                "turn_count": session.turn_count,
                "in_closure_mode": session.in_closure_mode,
                "closure_reason": session.closure_reason,
            },
            "lore_stats": self.personal_lore.get_lore_usage_stats(),
        }

    def get_analytics(self) -> dict[str, Any]:
        overview = {"total_interactions": self.interaction_count}
        return {"overview": overview | {"total_adjustments": len(self.adjustment_history)}}

    def reset_session(self, new_session_id: str | None = None) -> None:
        self.session_manager.reset_session(new_session_id)
        self.topic_awareness.clear_topic_history()

    async def shutdown(self) -> None:
        session = self.session_manager.get_session_state()
        session.enter_closure_mode("System shutdown")
        self.adjustment_history.clear()

    async def set_memory_manager(self, memory_manager: Any) -> None:
        self.memory_manager = memory_manager

    def enhance_input(self, user_input: str, context: dict[str, Any] | None = None) -> str:
        """Not a coroutine, and the assistant awaits it."""
        return user_input

    async def update_from_interaction(
        self,
        user_input: str,
        assistant_response: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Calls a method that nobody wrote."""
        heard = user_input.lower()
        share = 0.08 * any(word in heard for word in ("good", "great", "excellent", "love"))
        share = share or -0.08 * any(w in heard for w in ("bad", "terrible", "hate", "awful"))
        adjustment = PersonalityAdjustment(
            trait_type=PersonalityTraitType.EMPATHY,
            old_value=0.5,
            new_value=0.5 + share,
            delta=share,
            reason=f"Interaction sentiment: {10 * share}",
            confidence=0.7,
        )
        await self.apply_adjustment(adjustment)

    def is_healthy(self) -> bool:
        return self.parameters is not None and self.config is not None
