"""What speaks for the language model in a turn, and what for Moshi alone: rules by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from .lexicon import (
    ACKNOWLEDGING,
    COMMANDS,
    DATES,
    EVERYDAY,
    FOLLOW_UPS,
    IDLE_IN_TOOLS,
    NUMBERS,
    PHRASES,
    POINTING,
    QUESTION_WORDS,
    SUBJECTS,
    UNITS,
    YES_NO_WORDS,
    word_set,
)
from .words import Clause, Phrases, Said, phrase

Answerer = Literal["moshi", "hybrid"]

REASONS: dict[str, str] = {
    "knowledge_question": "It asks who, what, when, where, which, why or how about something.",
    "yes_no_question": "It asks whether something is so, and not about Moshi or the user.",
    "how_to": "It asks how something is done.",
    "how_much": "It asks how many, how long, how far.",
    "explain": "It wants something told, explained or defined.",
    "command": "It tells somebody to do something: set, play, turn on, find.",
    "tool": "It shares words with the name or the description of a tool.",
    "remember": "It wants something kept: remember that, call me, take a note.",
    "remind": "It wants to be reminded or woken.",
    "recall": "It asks for what the user said or owns: what did I, what is my, do you remember.",
    "current": "It is about what changes: news, weather, time, scores, opening hours.",
    "compute": "It wants something worked out or converted.",
    "writing": "It wants something written, translated, spelt or shortened.",
    "advice": "It wants a suggestion, a plan or help.",
    "doubt": "It doubts an answer, or asks whether something is true.",
    "crisis": "Somebody may be in danger.",
    "own_working": "It asks how the assistant is made or what it can do.",
    "subject": "It names a subject of school, work, health or technology.",
    "number": "It has a number.",
    "unit": "It has a unit or a currency.",
    "date": "It names a day, a month or a time.",
    "name": "It has a proper name (a capital letter inside the sentence).",
    "asked_for": "It begins with can you, could you, I want you to.",
    "question_mark": "The recogniser wrote a question mark.",
    "long": "It is long (25 words and more count full).",
    "follow_up_knowledge": "It goes on from an answer of the language model.",
    "follow_up_chat": "It goes on from what Moshi said.",
    "greeting": "It greets.",
    "farewell": "It says goodbye.",
    "thanks": "It thanks.",
    "how_are_you": "It asks how one is.",
    "about_you": "It asks Moshi about itself: what it likes, feels, is called.",
    "acknowledgement": "It only takes note: yes, okay, I see.",
    "joke": "It is about jokes.",
    "performance": "It wants a song, a story, a game or a voice.",
    "invitation": "It offers to talk: can I tell you something, guess what.",
    "manner": "It is about the talk itself: slower, wait, can you hear me.",
    "apology": "It apologises or waves something aside.",
    "praise": "It praises or teases Moshi.",
    "wish": "It wishes something.",
    "feeling": "It tells a feeling or a state.",
    "opinion": "It gives or asks an opinion.",
    "exclamation": "It exclaims: what a day, no way.",
    "telling": "It tells of the user's own life and asks for nothing.",
    "telling_fact": "It tells of the user's own life with numbers, names or dates in it.",
    "tag_question": "It ends in isn't it, right, don't you.",
    "short": "It has three words or fewer.",
    "bare_noun": "It is a few words without a verb that name a thing.",
    "foreign": "There are no rules for this language.",
}
"""Every reason and what it says, for people; the weights have one number for each."""

ANY_LANGUAGE = frozenset({"tool", "number", "question_mark", "foreign"})
"""What is left where the rules do not know the language."""
ASKING = word_set("""knowledge_question yes_no_question how_to how_much explain command
    remember remind recall current compute writing advice doubt crisis own_working""")
FACTS = frozenset({"number", "unit", "date", "name", "subject"})
TELLERS = word_set("""i we my our you it he she they this that the yesterday today mondays
    everything there life work somebody someone an a just had finally can't mom dad when if""")
TAGS = tuple(
    f" {tag} "
    for tag in ("is not it", "are not you", "do not you", "right", "does not it", "is it", "or not")
)
SUBJECT_PRONOUNS = frozenset({"i", "we", "it", "you", "he", "she", "they"})
ABOUT_ME = frozenset({"me", "i", "my"})
OTHER_WRITING = re.compile(r"[^\W\d_A-Za-zÀ-ɏ]")
"""A letter of another script than the Latin one."""

_PHRASES = Phrases({**PHRASES, "follow_up": FOLLOW_UPS})


class Offer:
    """The words that the offered tools cover."""

    def __init__(self, tools: Iterable[tuple[str, str]]) -> None:
        self._tools = [
            (_keys(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)), _keys(description))
            for name, description in tools
        ]
        self._known = frozenset().union(*(one | other for one, other in self._tools))

    def match(self, words: Sequence[str]) -> float:
        """From 0, no word in common, to 1: two words, one of them of the tool's name."""
        spoken = {stem for word in set(words) if (stem := _stem(word)) in self._known}
        if not spoken:
            return 0.0
        best = max(
            0.6 * len(spoken & name) + 0.3 * len(spoken & (told - name))
            for name, told in self._tools
        )
        return min(1.0, best)


def _keys(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in phrase(text) if word not in IDLE_IN_TOOLS)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e")


def foreign(text: str, language: str) -> bool:
    """Whether the rules do not know the language: not English, or not written like it."""
    if not language.lower().startswith("en"):
        return True
    letters = sum(map(str.isalpha, text))
    return 2 * len(OTHER_WRITING.findall(text)) > letters


def reasons(said: Said, last: Answerer | None, offer: Offer, *, strange: bool) -> dict[str, float]:
    """Return the reasons that hold, each from 0 (does not) to 1, without zeros.

    ``last`` answered the turn before. ``strange``: the rules do not know the language, and
    only :data:`ANY_LANGUAGE` is looked for.
    """
    found: dict[str, float] = {}
    if not said.words:
        return {"short": 1.0}
    if tool := offer.match(said.words):
        found["tool"] = tool
    if said.question_mark:
        found["question_mark"] = 1.0
    if strange:
        found["foreign"] = 1.0
        if any(word[0].isdigit() for word in said.words):
            found["number"] = 1.0
        return found
    for name in _known_phrases(said):
        found[name] = 1.0
    if found.pop("follow_up", None) or _points_back(said):
        found["follow_up_knowledge" if last == "hybrid" else "follow_up_chat"] = 1.0
    for clause in said.clauses:
        found |= dict.fromkeys(_of_clause(said.words, clause), 1.0)
    found |= dict.fromkeys(_facts(said), 1.0)
    found |= _shape(said)
    return _told(said, found)


def _known_phrases(said: Said) -> set[str]:
    heads = {clause.head for clause in said.clauses} | {clause.bare for clause in said.clauses}
    return {
        name
        for start in range(len(said.words))
        for name, _ in _PHRASES.at(said.words, start, head=start in heads)
    }


def _of_clause(words: tuple[str, ...], clause: Clause) -> set[str]:
    """What the shape of one clause says: question, command, about Moshi."""
    head, end = clause.head, clause.end
    first, rest = words[head], words[head + 1 : end]
    if clause.asked and first in COMMANDS:
        return {"command", "asked_for"}
    found = {"asked_for"} if clause.asked else set()
    if first in COMMANDS and rest[:1] != ("is",):
        found.add("command")
    asks = first in QUESTION_WORDS or first in YES_NO_WORDS
    told = first in QUESTION_WORDS and not SUBJECT_PRONOUNS.isdisjoint(rest[:1])
    if not asks or told:  # "when it rains I stay in" asks for nothing
        return found
    content = any(word not in EVERYDAY for word in rest)
    if rest[:3] == ("do", "you", "think") and content:
        return found | {"knowledge_question"}
    if "you" in rest[:3] or "your" in rest[:3] or " you like" in f" {' '.join(rest)}":
        # "how do you" and "can you" may mean anybody
        anybody = rest[:2] == ("do", "you") and first == "how" and content
        found.add("knowledge_question" if anybody else "about_you")
    elif content and not (first in YES_NO_WORDS and ABOUT_ME.intersection(rest[:1])):
        found.add("knowledge_question" if first in QUESTION_WORDS else "yes_no_question")
    return found


def _points_back(said: Said) -> bool:
    """A question that is understood only with what went before: "who was he"."""
    words = said.words[said.clauses[-1].head :]
    asks = words[0] in QUESTION_WORDS or words[0] in YES_NO_WORDS
    return asks and len(words) <= 8 and not POINTING.isdisjoint(words)


def _facts(said: Said) -> set[str]:
    words = set(said.words)
    found = set()
    if not NUMBERS.isdisjoint(words) or any(word[0].isdigit() for word in words):
        found.add("number")
    for name, known in (("unit", UNITS), ("date", DATES), ("subject", SUBJECTS)):
        if not known.isdisjoint(words):
            found.add(name)
    if any(
        original[:1].isupper() and word not in DATES and word != "i" and index not in first
        for first in (said.first_of_sentence,)
        for index, (word, original) in enumerate(zip(said.words, said.written, strict=True))
        if not original.startswith(("I'", "I’"))
    ) and not all(original[:1].isupper() for original in said.written):
        found.add("name")
    return found


def _shape(said: Said) -> dict[str, float]:
    """Length, and what a turn is made of as a whole."""
    words = said.words
    found = {"long": min(1.0, len(words) / 25)}
    if len(words) <= 3:
        found["short"] = 1.0
    if len(words) <= 8 and ACKNOWLEDGING.issuperset(words):
        found["acknowledgement"] = 1.0
    if len(words) > 3 and f" {' '.join(words[-4:])} ".endswith(TAGS):
        found["tag_question"] = 1.0
    return found


def _told(said: Said, found: dict[str, float]) -> dict[str, float]:
    """Add what only the rest decides: a tale is one where nothing is asked."""
    if "own_working" in found:  # "how are you made" is no "how are you"
        found.pop("how_are_you", None)
        found.pop("about_you", None)
    if not ASKING.isdisjoint(found):
        return found
    head = said.clauses[0].head
    if said.words[head] in TELLERS or said.words[said.clauses[-1].head] in TELLERS:
        found["telling"] = 1.0
        if not FACTS.isdisjoint(found):
            found["telling_fact"] = 1.0
    elif len(said.words) <= 5 and not _small_talk(found):
        content = [word for word in said.words if word not in EVERYDAY | ACKNOWLEDGING]
        if content and 2 * len(content) >= len(said.words):
            found["bare_noun"] = 1.0
    return found


def _small_talk(found: dict[str, float]) -> bool:
    names = list(REASONS)
    chatty = names[names.index("greeting") : names.index("telling")]
    return not found.keys().isdisjoint(chatty)
