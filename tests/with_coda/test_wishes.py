"""What a user says about the manner of speaking is told from all else."""

from __future__ import annotations

import pytest
from coda_voice_hooks.feedback import Wish, wishes_in

WISHES: list[tuple[str, str, int]] = [
    ("Shorter, please.", "verbosity", -1),
    ("Please be brief.", "verbosity", -1),
    ("Keep it short.", "verbosity", -1),
    ("Your answers are too long.", "verbosity", -1),
    ("That was too long.", "verbosity", -1),
    ("Okay, a bit shorter please.", "verbosity", -1),
    ("More detail, please.", "verbosity", 1),
    ("Give me more detail.", "verbosity", 1),
    ("Could you elaborate?", "verbosity", 1),
    ("Speak slower.", "pace", -1),
    ("Could you speak a little slower, please?", "pace", -1),
    ("Slow down.", "pace", -1),
    ("You're talking too fast.", "pace", -1),
    ("Don't talk so fast.", "pace", -1),
    ("Talk faster.", "pace", 1),
    ("Be more serious.", "humor", -1),
    ("Stop making jokes.", "humor", -1),
    ("No jokes, please.", "humor", -1),
    ("You can be funnier.", "humor", 1),
    ("You're too serious.", "humor", 1),
    ("Don't be so formal.", "formality", -1),
    ("Be more polite.", "formality", 1),
    ("Be nicer to me.", "empathy", 1),
    ("You're too emotional.", "empathy", -1),
    ("Calm down.", "enthusiasm", -1),
]
NO_WISHES = (
    "Tell me a short story.",
    "Which is the shorter way?",
    "The road is too long.",
    "My car is too slow.",
    "I like funny movies.",
    "Can you give me more details about the museum?",
    "Is the train faster?",
    "Be careful.",
    "He is so serious.",
    "I want a faster computer.",
    "How formal is the party?",
    "You are funny.",
    "That's funny.",
    "It was too short.",
    "Make it faster.",
    "Don't stop.",
)


@pytest.mark.parametrize(("text", "about", "way"), WISHES)
def test_a_wish_is_understood(text: str, about: str, way: int) -> None:
    (wish,) = wishes_in(text)
    assert wish.about == about
    up = wish.change > (1 if about == "pace" else 0)
    assert up == (way > 0)


@pytest.mark.parametrize("text", NO_WISHES)
def test_what_is_about_something_else_is_no_wish(text: str) -> None:
    assert wishes_in(text) == ()


def test_two_wishes_in_one_breath_are_two() -> None:
    assert {wish.about for wish in wishes_in("Be more serious and speak slower.")} == {
        "humor",
        "pace",
    }


def test_a_wish_names_its_trait_and_its_size() -> None:
    assert wishes_in("Be funnier!") == (Wish("humor", 0.2),)
