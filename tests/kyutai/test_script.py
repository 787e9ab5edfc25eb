"""The rules of one slot's text, step by step; how streams are written is told in ``letters``."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import PAD, Letters, signs, tokens

from coda_voice_plugin import EngineError
from coda_voice_plugin.kyutai.frames import OWN, TextRule
from coda_voice_plugin.kyutai.monologue import Monologue
from coda_voice_plugin.kyutai.script import (
    CLAUSE_PADS,
    IN_WORD,
    LEAST_PADS,
    MOST_PADS,
    MOST_WORDS,
    PATIENCE,
    Script,
)


def script(*sayings: str, manner: str = "forced") -> Script:
    made = Script(Letters())
    for text in sayings:
        made.say(text, manner)
    return made


def obey(rule: TextRule, sampled: int) -> int:
    """What the batch makes of the model's choice; where only some are allowed, it takes one."""
    if rule.only is not None and sampled not in rule.only:
        sampled = rule.only[sampled % len(rule.only)]
    given = rule.on_pad if sampled == PAD else rule.on_word
    return sampled if given is None else given


def write(script: Script, sampled: str) -> str:
    """Step through what the model chooses by itself; return what is written."""
    written = []
    for choice in tokens(sampled):
        token = obey(script.rule(), choice)
        script.took(token)
        written.append(token)
    return signs(written)


def texts(words) -> list[str]:
    return [word.text for word in words]


# When a word begins.


def test_a_word_is_announced_and_then_written_piece_by_piece() -> None:
    assert write(script("hello"), "_" * 8) == "^Hello__"


def test_a_model_that_wants_no_word_gets_one_after_the_most_pads() -> None:
    assert write(script("hi yo"), "_" * 13) == "^Hi" + "_" * MOST_PADS + "^Yo" + "__"


def test_a_model_that_wants_a_word_gets_it_after_the_least_pads() -> None:
    assert write(script("hi yo"), "X" * 7) == "^Hi" + "_" * LEAST_PADS + "^Yo"


@pytest.mark.parametrize("wants", ["X", "x", "^"])
def test_whatever_it_wants_to_say_it_says_the_given_word(wants: str) -> None:
    assert write(script("hi yo"), "___" + "__" + wants + "__") == "^Hi__^Yo"


@pytest.mark.parametrize("end", CLAUSE_PADS)
def test_after_a_clause_there_is_a_pause_also_if_its_sign_is_unknown(end: str) -> None:
    length = 4 if end in ",?" else 3  # the other signs have no piece
    written = write(script(f"hi{end} yo"), "X" * 12)
    assert written[length:].startswith("_" * CLAUSE_PADS[end] + "^Yo")


def test_the_pause_of_a_clause_does_not_outlast_what_the_model_says_after_it() -> None:
    made = script("hi.")
    assert write(made, "___" + "Abc_") == "^HiAbc_"
    made.say("yo")
    assert write(made, "XXX") == "^Yo"


def test_words_that_are_given_later_come_after_the_others() -> None:
    made = script("hi")
    assert write(made, "__") == "^H"
    made.say("yo")
    assert write(made, "X" * 5) == "i_^Yo"


def test_between_given_words_and_after_them_the_model_is_its_own() -> None:
    made = script()
    assert made.rule() == OWN
    made.took(PAD)
    made.say("hi")
    assert write(made, "___" + "Ab_^Cd") == "^HiAb_^Cd"


def test_the_model_finishes_a_word_of_its_own_before_given_ones() -> None:
    made = script()
    assert write(made, "^Go") == "^Go"
    made.say("hi")
    assert write(made, "ne_X___") == "ne_^Hi_"


def test_a_model_that_talks_without_end_is_not_waited_for() -> None:
    made = script()
    write(made, "^A")
    made.say("hi")
    written = write(made, "b" * 9)
    assert written == "b" * IN_WORD + "_^Hi" + "b"


# Soft words.


def test_a_soft_word_waits_until_the_model_begins_a_word() -> None:
    made = script("hi", manner="soft")
    assert write(made, "_" * 10 + "^__") == "_" * 10 + "^Hi"


def test_a_soft_word_may_begin_unannounced() -> None:
    assert write(script("hi yo", manner="soft"), "H__Y__") == "Hi_Yo_"


def test_a_model_with_a_soft_word_has_no_other_to_choose() -> None:
    made = script("hi", manner="soft")
    assert made.rule() == TextRule(only=tuple(tokens("_^H")))


def test_a_soft_word_is_forced_when_patience_ends() -> None:
    made = script("hi", manner="soft")
    # a slot begins as after the most pads
    assert write(made, "_" * (PATIENCE - MOST_PADS + 3)) == "_" * (PATIENCE - MOST_PADS) + "^Hi"


def test_a_soft_word_after_a_clause_waits_for_its_pause() -> None:
    made = script("hi.")
    write(made, "___")
    made.say("yo", "soft")
    assert write(made, "YYYYYYY") == "_____Yo"


# Silence.


@pytest.mark.parametrize("before", range(5))
def test_hush_stops_in_the_very_next_step_also_in_the_middle_of_a_word(before: int) -> None:
    made = script("hey yo")
    write(made, "_" * before)
    made.hush()
    assert write(made, "X^x_" * 3) == "_" * 12
    assert texts(made.cut) == (["hey", "yo"] if before < 4 else ["yo"])
    assert texts(made.said) == ([] if before < 4 else ["hey"])
    assert made.waiting == ()


def test_a_hushed_model_speaks_again_when_it_is_freed_or_given_words() -> None:
    made = script()
    made.hush()
    assert write(made, "Xx") == "__"
    made.free()
    assert write(made, "Xx_") == "Xx_"
    made.hush()
    made.say("hi")
    assert not made.hushed
    assert write(made, "XXX") == "^Hi"


def test_a_held_model_begins_no_word_of_its_own() -> None:
    made = script()
    made.hold(True)
    assert write(made, "Xx^X") == "____"
    made.hold(False)
    assert write(made, "Xx^X") == "Xx^X"


def test_a_held_model_finishes_the_word_that_it_is_in() -> None:
    made = script()
    write(made, "^Go")
    made.hold(True)
    assert write(made, "ne_Xx") == "ne___"


@pytest.mark.parametrize("end", ["_", "^"])
def test_the_next_word_is_not_taken_for_the_rest_of_the_last_one(end: str) -> None:
    made = script()
    write(made, "Go" + end)
    made.hold(True)
    assert write(made, "Xx") == "__"


def test_a_word_without_end_is_cut_when_held() -> None:
    made = script()
    write(made, "G")
    made.hold(True)
    assert write(made, "o" * 9) == "o" * IN_WORD + "_" * (9 - IN_WORD)


def test_given_words_are_said_while_held_and_nothing_after_them() -> None:
    made = script("hi")
    made.hold(True)
    assert write(made, "X" * 9) == "^Hi______"


# While a step is under way.


def test_a_word_that_the_step_under_way_makes_whole_was_said() -> None:
    made = script("hi yo")
    write(made, "__")
    rule = made.rule()
    made.hush()
    made.took(obey(rule, PAD))
    assert texts(made.said) == ["hi"]
    assert texts(made.cut) == ["yo"]
    assert write(made, "XX") == "__"


def test_a_word_that_the_step_under_way_leaves_open_was_cut() -> None:
    made = script("hey yo")
    write(made, "__")
    rule = made.rule()
    made.hush()
    made.took(obey(rule, PAD))
    assert texts(made.said) == []
    assert texts(made.cut) == ["hey", "yo"]


def test_words_given_anew_while_a_step_is_under_way_are_said_whole() -> None:
    made = script("hey yo")
    write(made, "__")
    rule = made.rule()
    made.hush()
    made.say("hey")
    assert obey(rule, PAD) == tokens("e")[0]
    made.took(tokens("e")[0])
    assert "^Hey" in write(made, "_" * 12)
    assert texts(made.said) == ["hey"]


# What is given.


def test_unknown_characters_are_left_out() -> None:
    assert write(script("héy — 世界 yó\ud800"), "_" * 11) == "^Hy_____^Y_"


@pytest.mark.parametrize("text", ["", "  \n", "…", "世界 \ud83d"])
def test_nothing_sayable_changes_nothing(text: str) -> None:
    made = script()
    made.hush()
    made.say(text)
    assert made.hushed
    assert made.waiting == ()


def test_too_many_words_are_refused_whole() -> None:
    made = script("hi " * (MOST_WORDS - 1))
    with pytest.raises(EngineError, match=rf"{MOST_WORDS + 1} words are too many"):
        made.say("yo yo")
    assert made.waiting == ("hi",) * (MOST_WORDS - 1)
    made.say("yo")
    assert made.waiting[-1] == "yo"


def test_a_refusal_leaves_the_silence_as_it_was() -> None:
    made = script()
    made.hush()
    with pytest.raises(EngineError):
        made.say("hi " * (MOST_WORDS + 1))
    assert made.hushed


# What was really said.


def test_each_word_said_is_known_with_its_steps() -> None:
    made = script("hi you")
    write(made, "_" * 15)
    assert [(word.text, word.first, word.last) for word in made.said] == [
        ("hi", 1, 2),
        ("you", 9, 11),
    ]
    assert made.step == 15


def test_of_what_was_cut_it_is_known_whether_it_was_begun() -> None:
    made = script("hi you go")
    write(made, "_" * 10)
    assert made.waiting == ("you", "go")
    made.hush()
    assert [(word.text, word.first, word.last) for word in made.cut] == [
        ("you", 9, None),
        ("go", None, None),
    ]


# Whatever the model chooses, and whenever it is told.

WORD = st.text("abc,.", min_size=1, max_size=4).filter(lambda word: word.strip(",."))
WORDS = st.lists(WORD, min_size=1, max_size=8)
CHOICES = st.text("_^Xx", max_size=60)
MANNERS = st.sampled_from(["forced", "soft"])
thoroughly = settings(max_examples=300, deadline=None, derandomize=True)


def spoken(text: str) -> str:
    """What of a word is left: the full stop has no piece."""
    return text.replace(".", "")


def steps_of(words: list[str], manner: str) -> int:
    longest = PATIENCE + 2 if manner == "soft" else MOST_PADS + 2
    return sum(len(word) + 1 + longest for word in words)


@thoroughly
@given(WORDS, CHOICES, MANNERS)
def test_whatever_is_sampled_exactly_the_given_words_are_said_in_order(
    words: list[str], choices: str, manner: str
) -> None:
    made = script(" ".join(words), manner=manner)
    made.hold(True)  # else the model's own words stand between them
    written = write(made, choices + "_" * steps_of(words, manner))
    monologue = Monologue(Letters())
    read = [word.text for token in tokens(written) for word in monologue.push(token)]
    assert read == [spoken(word) for word in words]
    assert texts(made.said) == words
    assert made.waiting == ()


@thoroughly
@given(WORDS, CHOICES)
def test_speech_is_neither_too_fast_nor_too_slow(words: list[str], choices: str) -> None:
    made = script(" ".join(words))
    write(made, choices + "_" * steps_of(words, "forced"))
    assert made.said[0].first == 1
    for word, after in pairwise(made.said):
        pads = after.first - word.last - 2  # and one for EPAD
        least = CLAUSE_PADS.get(word.text[-1], LEAST_PADS)
        assert least <= pads <= max(least, MOST_PADS)
        assert word.last - word.first + 1 == len(word.tokens)


ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["step", "step", "step", "begin", "end", "hush", "free", "hold", "loose"]),
        st.tuples(WORD, MANNERS),
    ),
    max_size=120,
)


@thoroughly
@given(ACTIONS, st.text("_^Xx", min_size=20, max_size=20))
def test_no_given_word_is_lost_and_silence_is_kept_whenever_they_come(
    actions: list, choices: str
) -> None:
    made, given_words, rule, step, hushed = script(), [], None, 0, False
    for action in actions:
        match action:
            case "hush":
                made.hush()
                hushed = True
            case "free":
                made.free()
                hushed = False
            case "hold" | "loose":
                made.hold(action == "hold")
            case "begin":
                rule = made.rule() if rule is None else rule
            case (word, manner) if word not in given_words:
                made.say(word, manner)
                given_words.append(word)
                hushed = False
        if action in ("step", "end") and (rule is not None or action == "step"):
            silent = rule is None and hushed  # a step that was under way ends as it began
            token = obey(rule or made.rule(), tokens(choices)[step % len(choices)])
            made.took(token)
            assert not silent or token == PAD
            rule, step = None, step + 1
        kept = [*texts(made.said), *texts(made.cut), *made.waiting]
        assert sorted(kept) == sorted(given_words)
        assert [word for word in given_words if word in texts(made.said)] == texts(made.said)
