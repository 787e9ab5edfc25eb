"""The core's personality, as its assistant uses it."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from types import ModuleType
from typing import Any

from .base import Patches, Repair

MODULE = "coda.components.personality.manager"
MOST_KEPT = 100
"""Adjustments that the core remembers at most."""


class Words(str):
    """Text that may be awaited: one caller of the core does, another does not."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, str]:
        return _given(str(self)).__await__()


async def _given(text: str) -> str:
    return text


def _cannot_be_awaited(module: ModuleType) -> bool:
    return not inspect.iscoroutinefunction(module.PersonalityManager.enhance_input)


def _let_it_be_awaited(module: ModuleType, patches: Patches) -> None:
    original = module.PersonalityManager.enhance_input

    def enhance_input(self: Any, user_input: str, context: Any = None) -> str:
        return Words(original(self, user_input, context))

    patches.set(module.PersonalityManager, "enhance_input", enhance_input)


def _cannot_adjust(module: ModuleType) -> bool:
    return not hasattr(module.PersonalityManager, "apply_adjustment")


def _let_it_adjust(module: ModuleType, patches: Patches) -> None:
    async def apply_adjustment(self: Any, adjustment: Any) -> None:
        if not adjustment.delta:
            return
        done = self.parameters.adjust_trait(
            adjustment.trait_type,
            adjustment.delta,
            adjustment.reason,
            confidence=adjustment.confidence,
        )
        self.adjustment_history.append(done)
        del self.adjustment_history[:-MOST_KEPT]

    patches.set(module.PersonalityManager, "apply_adjustment", apply_adjustment)


REPAIRS = (
    Repair(
        "typed-messages-fail",
        "Every typed message fails: \"object str can't be used in 'await' expression\".",
        MODULE,
        _cannot_be_awaited,
        _let_it_be_awaited,
    ),
    Repair(
        "personality-cannot-adjust",
        "After each answer the personality fails: it has no attribute 'apply_adjustment'.",
        MODULE,
        _cannot_adjust,
        _let_it_adjust,
    ),
)
