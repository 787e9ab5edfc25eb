"""Coda's personality and the voice: how a reply sounds, and what a turn teaches."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from coda_voice_hooks.personality import PersonalityHooks
from coda_voice_hooks.settings import CodaSettings
from coda_voice_hooks.traits import guidance, pace
from standin import StandIn, turn

from coda_voice_plugin import SpeakingStyle, VoiceConfig
from coda_voice_plugin.events import Flush, Held, StateChanged, UserSpeech, UserText


class Accepting:
    """What a repair adds to the manager: it accepts the adjustments that it makes itself."""

    async def apply_adjustment(self, adjustment: Any) -> None:
        self.parameters.adjust_trait(  # type: ignore[attr-defined]
            adjustment.trait_type, adjustment.delta, adjustment.reason
        )


@pytest.fixture
def personality() -> Any:
    from coda.components.personality.manager import PersonalityManager

    class Repaired(Accepting, PersonalityManager):  # type: ignore[misc, unused-ignore]
        """As it is once the hooks have mended it."""

    return Repaired()


def hooks_of(personality: Any, **settings: Any) -> PersonalityHooks:
    return PersonalityHooks(lambda: personality, CodaSettings(**settings))


def values(personality: Any) -> dict[str, float]:
    state = personality.get_personality_state()["parameters"]
    return {name: trait["value"] for name, trait in state.items()}


def moved(personality: Any, name: str, delta: float) -> None:
    kinds = {kind.value: kind for kind in personality.parameters.get_parameters().traits}
    personality.parameters.adjust_trait(kinds[name], delta, "set by the test")


def style(hooks: PersonalityHooks, call: StandIn) -> SpeakingStyle:
    found = hooks.speaking_style(call.call)
    assert found is not None
    return found


# How it sounds.


async def test_a_neutral_personality_adds_nothing(personality: Any) -> None:
    assert style(hooks_of(personality), StandIn()) == SpeakingStyle()


@pytest.mark.parametrize(
    ("trait", "delta", "sentence"),
    [
        ("verbosity", -0.2, "short"),
        ("verbosity", 0.3, "detail"),
        ("formality", -0.3, "casually"),
        ("formality", 0.3, "formally"),
        ("humor", 0.3, "joke is welcome"),
        ("humor", -0.2, "no jokes"),
        ("empathy", 0.2, "warm"),
        ("empathy", -0.3, "matter-of-fact"),
        ("assertiveness", 0.3, "direct"),
        ("creativity", 0.3, "imaginative"),
    ],
)
async def test_a_trait_that_leans_is_told_to_the_mind(
    personality: Any, trait: str, delta: float, sentence: str
) -> None:
    moved(personality, trait, delta)
    found = style(hooks_of(personality), StandIn())
    assert found.guidance is not None
    assert sentence in found.guidance
    assert found.guidance.count(".") == 1
    assert found.pace == 1.0


def test_enthusiasm_is_heard_as_pace() -> None:
    paces = [pace({"enthusiasm": value / 10}) for value in range(11)]
    assert paces == sorted(paces)
    assert (paces[0], paces[5], paces[10]) == (0.85, 1.0, 1.15)


def test_less_to_say_is_said_more_strongly() -> None:
    assert guidance({"verbosity": 0.3}) != guidance({"verbosity": 0.1}) != []


async def test_the_settings_name_the_voice(personality: Any) -> None:
    assert (style(hooks_of(personality, voice="amber"), StandIn())).voice == "amber"


async def test_without_a_personality_there_is_no_style() -> None:
    hooks, call = hooks_of(None), StandIn()
    hooks.session_started(call.call)
    await hooks.turn_completed(call.call, turn("Shorter, please."))
    assert hooks.speaking_style(call.call) is None


async def test_a_conversation_that_closes_is_brought_to_an_end_once(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    personality.session_manager.session_state.enter_closure_mode("Long session")
    found = style(hooks, call).guidance
    assert found is not None
    assert "draws to its end (Long session)" in found
    for index in (1, 2):
        await hooks.turn_completed(call.call, turn("And what of the roof?", index=index))
    assert not personality.get_personality_state()["session"]["in_closure_mode"]


async def test_a_new_conversation_is_not_at_its_end(personality: Any) -> None:
    personality.session_manager.session_state.enter_closure_mode("Natural ending")
    hooks, call = hooks_of(personality), StandIn("fresh")
    hooks.session_started(call.call)
    session = personality.get_personality_state()["session"]
    assert (session["id"], session["in_closure_mode"]) == ("fresh", False)


# What it learns.


SAYINGS = (
    "Can you help me debug this Python function?",
    "I think it needs proper error handling.",
    "What is an algorithm?",
    "That was direct, thanks.",
    "I'm careful with code.",
    "How does the database server work?",
    "Great, I love it, excellent.",
    "I feel sad today.",
    "okay",
    "fine",
)


async def test_twenty_turns_bend_no_trait_far(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    before = values(personality)
    for index in range(20):
        await hooks.turn_completed(
            call.call, turn(SAYINGS[index % 10], "Sure, here it is.", index=index)
        )
    after = values(personality)
    assert personality.interaction_count == 20
    assert after != before
    assert all(abs(after[name] - before[name]) <= 0.151 for name in before)


async def test_one_turn_bends_a_trait_only_a_little(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    for index in range(20):
        before = values(personality)
        await hooks.turn_completed(call.call, turn(SAYINGS[index % 10], index=index))
        after = values(personality)
        assert all(abs(after[name] - before[name]) <= 0.056 for name in before)


async def test_traits_return_when_the_topic_is_over(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    before = values(personality)
    for index, text in enumerate(SAYINGS):
        await hooks.turn_completed(call.call, turn(text, index=index))
    bent = values(personality)
    for index in range(20):
        await hooks.turn_completed(call.call, turn("", "Hm.", index=index))
    after = values(personality)
    far = [name for name in before if abs(bent[name] - before[name]) > 0.05]
    assert far
    assert all(abs(after[name] - before[name]) < 0.02 for name in far)


async def test_what_another_set_stays(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    await hooks.turn_completed(call.call, turn("Well."))
    moved(personality, "humor", 0.3)
    for index in range(10):
        await hooks.turn_completed(call.call, turn("", "Hm.", index=index))
    assert values(personality)["humor"] == pytest.approx(0.6, abs=0.05)


async def test_nothing_is_learned_where_that_is_not_wanted(personality: Any) -> None:
    before = values(personality)
    for hooks, call in (
        (hooks_of(personality, personality_learns=False), StandIn()),
        (
            hooks_of(personality),
            StandIn(config=VoiceConfig(personality_integration_enabled=False)),
        ),
    ):
        await hooks.turn_completed(call.call, turn("Be funnier, please."))
    assert values(personality) == before
    assert personality.interaction_count == 0


async def test_a_manager_that_cannot_learn_is_logged_once(
    personality: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise AttributeError("no attribute 'apply_adjustment'")

    personality.update_from_interaction = broken
    hooks, call = hooks_of(personality), StandIn()
    with caplog.at_level(logging.ERROR):
        for index in range(3):
            await hooks.turn_completed(call.call, turn("Good.", index=index))
    assert len(caplog.records) == 1


# Interruptions.


def history(personality: Any) -> list[str]:
    return [each.reason for each in personality.parameters.adjustment_history]


async def interrupted(
    hooks: PersonalityHooks, call: StandIn, index: int, *events: Any, heard_ms: float = 9_000.0
) -> None:
    for event in (StateChanged("thinking"), StateChanged("speaking"), *events, Flush(index)):
        hooks.event_sent(call.call, event)
    done = turn("So?", "Well, it is", index=index, interrupted=True, heard_ms=heard_ms)
    await hooks.turn_completed(call.call, done)


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        ((UserSpeech(True), Held(1, True)), "by speech"),
        ((UserText("Wait", True),), "by writing"),
        ((), "by stop"),
        ((UserSpeech(True), Held(1, True), UserSpeech(False), Held(1, False)), "by stop"),
    ],
)
async def test_the_cause_of_an_interruption_is_recorded(
    personality: Any, events: tuple[Any, ...], cause: str
) -> None:
    hooks, call = hooks_of(personality), StandIn()
    await interrupted(hooks, call, 1, *events)
    (reason,) = (each for each in history(personality) if "interrupted" in each)
    assert cause in reason
    assert "after 9.0 s: too long" in reason


async def test_an_early_interruption_says_less_about_length(personality: Any) -> None:
    early, late = hooks_of(personality), hooks_of(personality)
    before = values(personality)["verbosity"]
    await interrupted(early, StandIn(), 1, UserSpeech(True), heard_ms=900.0)
    between = values(personality)["verbosity"]
    await interrupted(late, StandIn(), 1, UserSpeech(True))
    after = values(personality)["verbosity"]
    assert 0 < before - between < between - after
    assert any("not what was wanted" in each for each in history(personality))


async def test_interruptions_make_it_only_so_terse(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    before = values(personality)["verbosity"]
    for index in range(1, 31):
        await interrupted(hooks, call, index, UserSpeech(True))
    assert before - values(personality)["verbosity"] <= 0.2 + 0.15 + 0.001


async def test_a_turn_that_nobody_heard_is_no_reproach(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    await interrupted(hooks, call, 1, UserSpeech(True), heard_ms=0.0)
    assert not [each for each in history(personality) if "interrupted" in each]


# Wishes.


async def test_a_wish_counts_from_the_next_reply_on(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    await hooks.turn_completed(call.call, turn("Shorter, please."))
    first = style(hooks, call)
    assert first.guidance == "Keep your answers short."
    await hooks.turn_completed(call.call, turn("Shorter, please.", index=2))
    assert style(hooks, call).guidance == "Answer in one short sentence."
    assert [each for each in history(personality) if each.startswith("asked for by voice")]
    assert call.notices == []


async def test_a_wish_counts_for_its_own_answer_when_it_was_heard_in_time(
    personality: Any,
) -> None:
    hooks, call = hooks_of(personality), StandIn()
    before = values(personality)
    hooks.event_sent(call.call, UserText("Shorter, please.", False))
    assert style(hooks, call).guidance == "Keep your answers short."
    assert values(personality) == before  # the user may yet go on
    hooks.event_sent(call.call, UserText("Shorter, please is what I told him.", False))
    assert style(hooks, call) == SpeakingStyle()


async def test_a_wish_that_was_heard_in_time_counts_once(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    hooks.event_sent(call.call, UserText("Shorter, please.", True))
    await hooks.turn_completed(call.call, turn("Shorter, please."))
    assert style(hooks, call).guidance == "Keep your answers short."


async def test_a_wish_outlives_many_turns(personality: Any) -> None:
    hooks, call = hooks_of(personality), StandIn()
    await hooks.turn_completed(call.call, turn("You can be funnier."))
    for index in range(2, 12):
        await hooks.turn_completed(call.call, turn("", "Hm.", index=index))
    assert values(personality)["humor"] == pytest.approx(0.5, abs=0.02)


async def test_the_pace_belongs_to_the_call(personality: Any) -> None:
    hooks, slow, other = hooks_of(personality), StandIn("slow"), StandIn("other")
    await hooks.turn_completed(slow.call, turn("Speak slower."))
    assert (style(hooks, slow)).pace == 0.88
    assert (style(hooks, other)).pace == 1.0
    for index in range(2, 12):
        await hooks.turn_completed(slow.call, turn("Speak slower.", index=index))
    assert (style(hooks, slow)).pace == 0.6
    hooks.session_ended(slow.call)
    assert (style(hooks, slow)).pace == 1.0


async def test_a_wish_is_kept_for_the_call_where_nothing_is_learned(personality: Any) -> None:
    hooks, call = hooks_of(personality, personality_learns=False), StandIn()
    await hooks.turn_completed(call.call, turn("Shorter, please."))
    assert style(hooks, call).guidance == "Keep your answers short."
    assert style(hooks, StandIn("other")) == SpeakingStyle()
