"""The recogniser's own judgement of pauses, on the scale of the house."""

from __future__ import annotations

SURE = 0.9
"""From here on the house believes that a turn is over (``Recognition.turn_probability``)."""


def finished(probability: float | None, threshold: float) -> float | None:
    """``probability`` as the model gives it, stretched so that ``threshold``
    (``kyutai.pause_threshold``) falls on :data:`SURE`; 0 and 1 stay."""
    if probability is None or not 0.0 < threshold < 1.0:
        return probability
    if probability < threshold:
        return SURE * probability / threshold
    return SURE + (1.0 - SURE) * (probability - threshold) / (1.0 - threshold)
