"""Random interleavings of whole calls with two minds: speech, barge-in, failures, hang-up.

Each seed is one story on the virtual clock. Whatever happens in whatever order, the
invariants below hold. ``CODA_VOICE_HYBRID_SEEDS=100000`` runs more of them, a failing seed is
named in the report.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from itertools import groupby, pairwise

import numpy as np
import pytest
from hybrid_story import OPENERS, OWN_WORDS, Caller, Story, question_of, tell
from invariants import nothing_sounds_while_it_is_held, nothing_stale_is_sent

from coda_voice_plugin import Turn
from coda_voice_plugin.events import (
    Caption,
    Flush,
    Notice,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    TurnEnded,
    UserText,
)
from coda_voice_plugin.strategies.ollama.thoughts import alike
from coda_voice_plugin.testing.scripted import RATE

SEEDS = int(os.environ.get("CODA_VOICE_HYBRID_SEEDS", "2000"))
BLOCKS = 20
SLOW_S = 0.05
"""The slowest client reads some events so much later."""
BARE = str.maketrans("", "", ".,!?")
OPENER_WORDS = {word.casefold() for phrase in OPENERS for word in phrase.split()}
LATE_S = 0.4
"""A word of its own that Moshi had begun when it was held may take so long."""
STEPS_S = 0.01
"""What is sent to a slow reader arrives later."""


def check(story: Story) -> None:
    """The invariants of a story."""
    assert story.mind.writing == 0, "a mind is still writing"
    assert story.tempting.running == 0, "a tool is still running"
    assert story.tempting.unasked == 0, "a tool ran before the turn was confirmed"
    typed = sum(len(caller.typed) for caller in story.callers)
    assert story.tempting.dangers <= typed, "a dangerous tool ran without a yes"
    for caller in story.callers:
        _check_call(story, caller)


def _check_call(story: Story, caller: Caller) -> None:
    events = [event for _, event in caller.listener.events]
    turns = story.store.by_session.get(caller.session.id, [])
    assert not events or isinstance(events[0], SessionReady)
    assert len(caller.ended) == 1
    assert caller.session.call.mic.dropped == 0
    assert [turn.index for turn in turns] == sorted({turn.index for turn in turns})
    assert caller.told == turns
    sent = [event.turn for event in events if isinstance(event, TurnEnded)]
    assert sent == turns[: len(sent)]
    assert caller.hung_up or len(sent) == len(turns)
    assert caller.hung_up or not caller.listener.held, "a reply was held for ever"
    nothing_stale_is_sent(events)
    nothing_sounds_while_it_is_held(events)
    _moves_are_changes(story, events)
    for turn in turns:
        _history_is_what_was_heard(caller, turn, last=turn is turns[-1])
        _nothing_unconfirmed_is_heard(events, turn)
        _the_opener_comes_first(events, turn)
        _one_voice_at_a_time(events, turn)
        assert _is_accounted_for(turn, events, last=turn is turns[-1] and caller.hung_up), turn
    _words_answer_their_own_question(story, caller, turns)
    _no_word_of_the_user_is_lost(caller, events, turns)
    _moshi_is_held(caller)
    _given_words_are_cut_for_good(story, caller)


def _moves_are_changes(story: Story, events: list[ServerEvent]) -> None:
    last = story.settings.fallback.ladder[0]
    for event in events:
        if isinstance(event, Notice) and event.kind == "fallback":
            assert event.data["from"] == last, "a move from where nobody was"
            assert event.data["to"] != last, "a move that is none"
            last = event.data["to"]


def _history_is_what_was_heard(caller: Caller, turn: Turn, *, last: bool) -> None:
    listener = caller.listener
    words = [
        word for event in listener.of(Caption) if event.turn == turn.index for word in event.words
    ]
    now = (listener.events[-1][0] if listener.events else 0.0) + 1e6
    position = listener.position(turn.index, now)
    truth = [word.text for word in words if word.end <= position]
    kept = turn.assistant.split()
    told = [word.text for word in words]
    if turn.interrupted and len(kept) == len(told) + 1:
        truth.append(kept[-1])  # Moshi's word is known when it has sounded; its caption was cut
        told.append(kept[-1])
    assert kept == told[: len(kept)], "words out of order"
    cut_off = caller.hung_up and turn not in [each.turn for each in listener.of(TurnEnded)]
    if cut_off or (last and not turn.user):
        pass  # the line is cut, or the greeting at its end: what was on its way is not heard
    elif listener.reports:
        assert kept == truth, "history is not what was heard"
    else:
        slack = 1 if listener.delay else 0
        assert abs(len(kept) - len(truth)) <= slack, (kept, truth)
    received = listener.received.get(turn.index, 0) + (400 if caller.hung_up else 0)
    assert turn.heard_ms <= 1000 * received / RATE + 0.06  # rounded


def _nothing_unconfirmed_is_heard(events: list[ServerEvent], turn: Turn) -> None:
    if not turn.user:
        return  # Moshi greets, or answers what the ear has lost
    for event in events:
        if isinstance(event, UserText) and event.final and alike(event.text, turn.user):
            return
        assert not (isinstance(event, Speech) and event.turn == turn.index), "not confirmed"
    assert not turn.heard_ms, "heard without a question"


def _the_opener_comes_first(events: list[ServerEvent], turn: Turn) -> None:
    content = False
    for event in events:
        if isinstance(event, Caption) and event.turn == turn.index:
            for word in event.words:
                content = content or bool(question_of(word.text))
                opens = word.text.casefold() in OPENER_WORDS or word.text in OWN_WORDS
                assert not (opens and content), f"an opener in the answer: {word.text}"


def _one_voice_at_a_time(events: list[ServerEvent], turn: Turn) -> None:
    speech = [each for each in events if isinstance(each, Speech) and each.turn == turn.index]
    pcm = b"".join(each.frame.pcm for each in speech)
    level = np.abs(np.frombuffer(pcm, "<i2")) / 32_768
    assert level.max(initial=0.0) < 0.3, "two voices at once"
    voice = np.zeros(len(level), np.int8)
    voice[abs(level - 0.25) < 0.01] = 1
    voice[(abs(level - 0.1) < 0.005) | (abs(level - 0.2) < 0.008)] = 2
    edges = np.flatnonzero(np.diff(voice, prepend=9, append=9))
    runs = [int(voice[a]) for a, b in pairwise(edges) if b - a >= 80 and voice[a]]
    voices = [each for each, _ in groupby(runs)]
    assert len(voices) <= 4, f"the voices change too often: {voices}"


def _is_accounted_for(turn: Turn, events: list[ServerEvent], *, last: bool) -> bool:
    if turn.assistant or turn.interrupted or last:
        return True
    modes = [each.data for each in events if isinstance(each, Notice) and each.kind == "answered"]
    if turn.heard_ms and {"turn": turn.index, "mode": "moshi", "way": ""} in modes:
        return True  # the end of a word that it was in when it was cut: sound, and no word
    return bool(turn.error) and any(isinstance(event, Problem) for event in events)


def _words_answer_their_own_question(story: Story, caller: Caller, turns: list[Turn]) -> None:
    """No word of a thought that was dropped is heard, nor one of another call or turn."""
    by_index = {turn.index: turn for turn in turns}
    of_turn: dict[int, int] = {}
    for event in caller.listener.of(Caption):
        for number in filter(None, (question_of(word.text) for word in event.words)):
            assert of_turn.setdefault(number, event.turn) == event.turn, "words of another turn"
            if event.turn in by_index:
                asked = [m.content for m in story.mind.asked[number - 1] if m.role == "user"]
                assert alike(asked[-1], by_index[event.turn].user), "an answer to something else"
    assert caller.partner is not None
    for slot in caller.partner.kept:
        for at, word, own in slot.script.log:  # type: ignore[attr-defined]
            if (number := question_of(word)) and not own:
                asked = [m.content for m in story.mind.asked[number - 1] if m.role == "user"]
                current = any(alike(asked[-1], text) for text in _questions(caller, at))
                assert current, f"Moshi says {word}, which nobody asked for"
                if number in of_turn:
                    begin, end = _span(caller, of_turn[number])
                    assert begin - 1e-6 <= at <= end + STEPS_S, f"Moshi says {word} out of its turn"


def _questions(caller: Caller, at: float) -> list[str]:
    """The latest turn of the user at ``at``, and what is being said, perhaps over its answer;
    as the client was told, a slow one a little later."""
    told = [(when, e) for when, e in caller.listener.events if isinstance(e, UserText)]
    before = [event for when, event in told if when <= at - 2e-6]
    over = [event for event in before if event.final]
    now = [event for when, event in told if at - 2e-6 < when <= at + SLOW_S]
    return [event.text for event in (*over[-1:], *before[-1:], *now)]


def _span(caller: Caller, turn: int) -> tuple[float, float]:
    """From the first sound of a turn, or just before it, to its end."""
    first = end = None
    for at, event in caller.listener.events:
        if isinstance(event, Speech | Caption) and event.turn == turn:
            first = at if first is None else first
        over = isinstance(event, Flush) and event.turn == turn
        if end is None and (over or (isinstance(event, TurnEnded) and event.turn.index == turn)):
            end = at
    assert first is not None
    return first - 1.0, 1e9 if end is None else end


def _no_word_of_the_user_is_lost(
    caller: Caller, events: list[ServerEvent], turns: list[Turn]
) -> None:
    said = [word for turn in turns for word in turn.user.split()]
    passed = [
        word
        for event in events
        if isinstance(event, Notice) and event.kind == "backchannel"
        for word in event.data["text"].split()
    ]
    assert not set(passed) & set(said), "a word was a back-channel and a turn"
    assert len(said) == len(set(said)), "a word of the user was remembered twice"
    spoken = [word for word in said if word.startswith("u")]
    assert spoken == sorted(spoken, key=lambda word: int(word[1:])), "words out of order"
    lost = any(isinstance(event, Problem) and "recogniser" in event.message for event in events)
    if caller.hung_up or lost:
        return
    whole = [f"u{n}" for n in range(caller.first, caller.user.said) if f"u{n}" not in passed]
    assert spoken[: len(whole)] == whole
    assert set(spoken[len(whole) :]) <= {f"u{caller.user.said}"}, "words that nobody said"
    assert [word for word in said if word.startswith("typed")] == caller.typed


def _moshi_is_held(caller: Caller) -> None:
    """It says no word of its own while nobody takes its speech."""
    assert caller.partner is not None
    for slot in caller.partner.kept:
        for at, word, own in slot.script.log:  # type: ignore[attr-defined]
            if own and word in OWN_WORDS:
                taken = any(a <= at <= b + LATE_S for a, b in caller.partner.taken)
                assert taken, f"Moshi says {word} and nobody listens"


def _given_words_are_cut_for_good(story: Story, caller: Caller) -> None:
    assert caller.partner is not None
    for slot in caller.partner.kept:
        for given in slot.script.cut:
            assert given.last is None, f"{given.text} was cut, and said"


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    """The faults are meant, and to format their tracebacks takes longer than the calls; so
    does looking for garbage among what was there before."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_whatever_happens_the_rules_of_two_voices_hold(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        try:
            check(tell(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
