"""The ten traits, and every change of one."""

from __future__ import annotations

from .models import (
    PersonalityAdjustment,
    PersonalityParameterConfig,
    PersonalityParameters,
    PersonalityTrait,
    PersonalityTraitType,
)

OTHER_THAN_HALF = {"humor": 0.3, "proactivity": 0.4, "confidence": 0.6, "empathy": 0.7} | {
    "analytical": 0.6
}


class PersonalityParameterManager:
    def __init__(self, config: PersonalityParameterConfig | None = None) -> None:
        self.config = config or PersonalityParameterConfig()
        self.parameters = PersonalityParameters()
        self.adjustment_history: list[PersonalityAdjustment] = []
        for trait_type in PersonalityTraitType:
            value = OTHER_THAN_HALF.get(trait_type.value, 0.5)
            self.parameters.traits[trait_type] = PersonalityTrait(
                name=trait_type,
                value=value,
                default_value=value,
                description=f"How much {trait_type.value} an answer has",
            )

    def get_parameters(self) -> PersonalityParameters:
        return self.parameters

    def get_trait_value(self, trait_type: PersonalityTraitType) -> float:
        return self.parameters.get_trait_value(trait_type)

    def adjust_trait(
        self,
        trait_type: PersonalityTraitType,
        delta: float,
        reason: str = "",
        confidence: float = 1.0,
    ) -> PersonalityAdjustment:
        """``delta`` counts as much as ``confidence`` says; a trait stays between 0 and 1."""
        trait = self.parameters.traits[trait_type]
        before = trait.value
        changed = trait.adjust(delta * confidence, reason)
        adjustment = PersonalityAdjustment(
            trait_type=trait_type,
            old_value=before,
            new_value=trait.value,
            delta=changed,
            reason=reason,
            confidence=confidence,
        )
        self.adjustment_history = [*self.adjustment_history[-99:], adjustment]
        return adjustment

    def reset_all_traits(self) -> None:
        for trait in self.parameters.traits.values():
            trait.value = trait.default_value
