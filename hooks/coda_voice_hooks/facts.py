"""Facts that a user states about himself, found by rules.

Rather too few than too many: what is stored wrongly is told to the mind again and again.
Only plain statements count: no questions, no "if", nothing that somebody else said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from .retelling import retold
from .stated import CLAUSE_STARTS, RULES, USES_TIME, Rule


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know about the user: a sentence in the third person."""

    text: str
    importance: float


LONGEST = 200
"""Characters of a clause that is still looked at: what is longer is a story, not a fact."""

_SENTENCE = re.compile(r"[^.!?]+(?:\.(?=\w)[^.!?]+)*[.!?]*")
_QUOTED = re.compile(r"[\"“”„«»].*")
_FILLERS = re.compile(
    r"(?:(?:well|oh|ah|hi|hello|hey|so|yeah|yes|no|okay|ok|right|look|listen|now|and|but|also|"
    r"because|actually|honestly|sorry|coda|please|by the way|you know|to be honest|just so you "
    r"know|for your information|fyi|in fact|as I said|the thing is|(?:I (?:already )?)(?:told you|"
    r"said)(?: that)?|you should know(?: that)?|I (?:should|must) (?:say|mention)(?: that)?)"
    r"(?:\s*,\s*|\s+))+",
    re.IGNORECASE,
)
_TRAILERS = re.compile(
    r"(?:\s*,?\s*(?:by the way|you know|actually|to be honest|please|thanks|thank you|coda|too|"
    r"as well|though|okay))+$",
    re.IGNORECASE,
)
_UNREAL = re.compile(
    r"\b(?:if|imagine|pretend|suppose|supposing|assume|let's say|what if|as if|unless|wish|"
    r"hypothetically|in (?:my|the|a|this) (?:dream|story|game|movie|film|book|novel|song|play))\b",
    re.IGNORECASE,
)
"""From here to the end of the sentence nothing is meant as it is said."""
_REPORTED = re.compile(
    r"\b(?:say|says|said|tell|tells|told|ask|asks|asked|write|writes|wrote|spell|translate|"
    r"repeat|quote|lyrics|claims|claimed|thinks|believes|reads|according to)\b",
    re.IGNORECASE,
)
_HEDGED = re.compile(r"\b(?:maybe|perhaps|possibly|might|probably|would|kidding|joking)\b", re.I)
_ASKS = re.compile(
    r"(?:so |and |but |then )?(?:what|where|when|who|why|how|which|can|could|do|does|did|is|are|"
    r"should|would|will|any)\b",
    re.IGNORECASE,
)
_REMEMBER = re.compile(
    r"(?:(?:can|could|will|would) you )?(?:please )?(?:remember|don't forget|do not forget|"
    r"keep in mind|bear in mind|(?:make|take) (?:a )?note|note)(?: that|:|,(?= (?:my|I)\b)|"
    r"(?= (?:my|our|I|I'm|I've)\b(?! not)))\s*(?P<rest>.+)",
    re.IGNORECASE,
)
_REMIND = re.compile(
    r"(?:(?:can|could|will|would) you )?(?:please )?(?:remember|don't forget|remind me)"
    r" to\s+(?P<rest>.+)",
    re.IGNORECASE,
)
_SLOTS = re.compile(
    r"(?P<slot>the user(?:'s name is| wants to be called| lives in| works (?:as|for|at|in)|"
    r" is \d+(?= years)|'s favou?rite [\w ]+? (?:is|are)|'s [\w ]+ birthday is|'s birthday is|"
    r"'s (?:phone number|number|address|e-?mail(?: address)?|job|car) is))\b",
    re.IGNORECASE,
)


def facts_in(text: str, today: date) -> tuple[Fact, ...]:
    """What ``text``, said on ``today``, tells about its speaker."""
    found: dict[str, Fact] = {}
    for sentence in _SENTENCE.findall(text.replace("’", "'")):
        for fact in _of_sentence(sentence, today):
            found.setdefault(fact.text, fact)
    return tuple(found.values())


def slot(fact: str) -> str | None:
    """What there can be only one of: two facts with the same slot are an old and a new one."""
    found = _SLOTS.match(fact)
    return found["slot"].casefold() if found else None


def _of_sentence(sentence: str, today: date) -> list[Fact]:
    asked = sentence.rstrip().endswith("?")
    body = _QUOTED.sub("", sentence).strip(" .!?,")
    if unreal := _UNREAL.search(body):
        body = body[: unreal.start()].rstrip(" ,")
        asked = False
    if wish := _wished(body, today):
        return [wish]
    clauses = [_trimmed(clause) for clause in CLAUSE_STARTS.split(body) if clause]
    if asked:
        if len(clauses) < 2 or not _ASKS.match(clauses[-1]):
            return []
        clauses.pop()
    facts = []
    for clause in clauses:
        if _REPORTED.search(clause):
            break  # what follows may be what that other person said
        if fact := _of_clause(clause, today):
            facts.append(fact)
    return facts


def _wished(body: str, today: date) -> Fact | None:
    """What one was asked to remember, whatever it is about."""
    body = _trimmed(body)
    if found := _REMEMBER.fullmatch(body):
        return Fact(_dated(retold(_trimmed(found["rest"])), today), 0.9)
    if found := _REMIND.fullmatch(body):
        text = retold(f"I want to be reminded to {found['rest']}")
        return Fact(_dated(text, today), 0.8)
    return None


def _of_clause(clause: str, today: date) -> Fact | None:
    if len(clause) > LONGEST or _HEDGED.search(clause):
        return None
    for rule in RULES:
        if rule.matches(clause):
            return Fact(_dated(_told(rule, clause), today), rule.importance)
    return None


def _told(rule: Rule, clause: str) -> str:
    if rule.template is None:
        return retold(clause)
    found = rule.pattern.fullmatch(clause)
    assert found is not None
    name = " ".join(word[:1].upper() + word[1:] for word in found["name"].split())
    return rule.template.format(name)


def _trimmed(clause: str) -> str:
    clause = clause.strip(" ,.;:!?")
    leading = _FILLERS.match(clause)
    if leading and leading.end() < len(clause):
        clause = clause[leading.end() :]
    return _TRAILERS.sub("", clause).strip(" ,")


def _dated(text: str, today: date) -> str:
    """With the day on which it was said, where "tomorrow" is otherwise soon wrong."""
    if not USES_TIME.search(text):
        return text
    return f"{text.rstrip('.')} (said on {today.day} {today:%B %Y})."
