"""What somebody says of himself, retold by another: "I live here" is "The user lives here"."""

from __future__ import annotations

import re

_IRREGULAR = {
    "am": "is",
    "'m": "is",
    "have": "has",
    "'ve": "has",
    "do": "does",
    "don't": "does not",
    "can't": "cannot",
    "won't": "will not",
    "'ll": "will",
    "haven't": "has not",
    "go": "goes",
    "study": "studies",
}
_NOT_VERBS = ("always", "usually", "never", "often", "really", "also", "only", "just", "still")
_SAME = [
    "was",
    "were",
    "had",
    "did",
    "didn't",
    "will",
    "can",
    "cannot",
    "used",
    "lived",
    "worked",
    "moved",
    "grew",
    "met",
    "broke",
    "lost",
    "bought",
    "got",
    "became",
    "started",
    "quit",
    "left",
    "retired",
    "studied",
    "graduated",
    "went",
    "wasn't",
    "couldn't",
    "must",
    "should",
]
"""Words after "I" that are the same for another person."""
_SUBJECT = re.compile(
    r"(?:I|we)(?P<short>'(?:m|ve|ll|re))?\s+(?P<adverbs>(?:(?:"
    + "|".join(_NOT_VERBS)
    + r")\s+)*)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_NO_LONGER = re.compile(r"no longer\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_OTHERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![\w']){pattern}(?![\w'])", re.IGNORECASE), instead)
    for pattern, instead in (
        (r"(?:I'm|we're|I am|we are)", "they are"),
        (r"(?:I've|we've)", "they have"),
        (r"(?:I'll|we'll)", "they will"),
        (r"(?:I'd|we'd)", "they would"),
        (r"(?:I|we) was", "they were"),
        (r"(?:my|our)", "their"),
        (r"(?:mine|ours)", "theirs"),
        (r"(?:myself|ourselves)", "themselves"),
        (r"(?:me|us)", "them"),
        (r"(?:I|we)", "they"),
    )
)
_POSSESSION = re.compile(r"(?:my|our)\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)


def retold(clause: str) -> str:
    """A clause in the first person, as a sentence about the user.

    Of a clause that has another subject only the pronouns are changed.
    """
    if found := _SUBJECT.fullmatch(clause):
        text = _about_subject(found)
    elif found := _POSSESSION.fullmatch(clause):
        text = f"the user's {_others(found['rest'])}"
    else:
        text = _others(clause)
    text = re.sub(r"\s+", " ", text).strip(" ,.;:!")
    return f"{text[:1].upper()}{text[1:]}."


def _about_subject(found: re.Match[str]) -> str:
    adverbs, rest = found["adverbs"].lower(), found["rest"]
    if found["short"]:
        rest = rest.removeprefix("got ") if found["short"].lower() == "'ve" else rest
        short = found["short"].lower()
        verb = "is" if short == "'re" else _IRREGULAR[short]
        return f"the user {verb} {adverbs}{_others(rest)}"
    if denied := _NO_LONGER.fullmatch(rest):
        adverbs, rest = f"{adverbs}no longer ", denied["rest"]
    verb, _, rest = rest.partition(" ")
    return f"the user {adverbs}{_third(verb)} {_others(rest)}"


def _third(verb: str) -> str:
    """The verb as it goes with "the user"."""
    lower = verb.lower()
    if lower in _IRREGULAR:
        return _IRREGULAR[lower]
    if lower == "are":
        return "is"
    if lower in _SAME or (lower.endswith("ed") and not lower.endswith("eed")):
        return lower
    return lower + ("es" if lower.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _others(text: str) -> str:
    for pattern, instead in _OTHERS:
        text = pattern.sub(instead, text)
    return text
