"""What people say of themselves, and what is kept of it."""

from __future__ import annotations

import time
from datetime import date

import pytest
from coda_voice_hooks.facts import facts_in, slot
from stated_facts import FIRST, SECOND

TODAY = date(2026, 11, 28)


def test_facts_are_found_and_little_else() -> None:
    labelled = FIRST + SECOND
    assert len(labelled) >= 120
    right = wrong = missed = 0
    for sentence, expected in labelled:
        wanted = {each.replace("~", " (said on 28 November 2026)") for each in expected}
        got = {fact.text for fact in facts_in(sentence, TODAY)}
        right += len(wanted & got)
        wrong += len(got - wanted)
        missed += len(wanted - got)
    assert right / (right + wrong) >= 0.95
    assert right / (right + missed) >= 0.8


@pytest.mark.parametrize(
    "text",
    [
        "I live in Prague, right?",
        "I'm allergic to nuts?",
        "She told me I am a good cook.",
        "You said I live in Prague.",
        "Imagine I live in Prague.",
        "If I live in Prague, I have two kids.",
    ],
)
def test_what_is_asked_reported_or_imagined_is_no_fact(text: str) -> None:
    assert facts_in(text, TODAY) == ()


def test_a_fact_is_a_sentence_about_the_user() -> None:
    (fact,) = facts_in("well, I live with my two cats because they love me", TODAY)
    assert fact.text == "The user lives with their two cats because they love them."


def test_what_matters_more_is_more_important() -> None:
    (allergy,) = facts_in("I'm allergic to nuts.", TODAY)
    (liking,) = facts_in("I like jazz.", TODAY)
    assert liking.importance < allergy.importance <= 1


def test_several_facts_in_one_breath_are_all_found() -> None:
    found = facts_in("My name is Ada and I live in Rome. I hate olives, but I love cheese.", TODAY)
    assert [fact.text for fact in found] == [
        "The user's name is Ada.",
        "The user lives in Rome.",
        "The user hates olives.",
        "The user loves cheese.",
    ]


def test_a_day_without_a_date_gets_one() -> None:
    (fact,) = facts_in("I'm flying to Oslo tomorrow.", TODAY)
    assert fact.text == "The user is flying to Oslo tomorrow (said on 28 November 2026)."


def test_there_is_one_home_and_there_are_many_likings() -> None:
    assert slot("The user lives in Prague.") == slot("The user lives in Berlin.") is not None
    assert slot("The user likes tea.") is None


@pytest.mark.parametrize("piece", ["I ", "my ", "so ", "remember ", "I'm a ", "and I ", '"', "if "])
def test_long_nonsense_costs_little(piece: str) -> None:
    began = time.perf_counter()
    facts_in(piece * 3_000, TODAY)
    assert time.perf_counter() - began < 1
