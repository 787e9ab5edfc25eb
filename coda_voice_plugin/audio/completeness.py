"""Is the turn over? Hints from words and melody, and the silence that they ask for.

The rules are for English and look at words more than at punctuation, because a
recogniser puts a period behind nearly everything.
"""

from __future__ import annotations

import re
from typing import Literal

from ..config.model import TurnSettings

Hint = Literal["finished", "unfinished", "unsure"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(text.split("; "))


FILLERS = _words("um uh er erm hmm hm mm mhm ah eh well like")
"""At the end: the speaker searches for a word."""
NEEDS_MORE = _words(
    "the a an my your our their its every each these those another some any "
    "and or but because if whether than as although though unless while since until "
    "very really quite rather i we he she they who whose which whether "
    "i'm you're we're they're he's she's it's that's there's what's who's where's how's "
    "i'd you'd we'd he'd she'd they'd i'll you'll we'll he'll she'll they'll it'll "
    "i've you've we've they've let's please"
)
"""Nothing finished ends with these."""
PREPOSITIONS = _words(
    "to from of for with at by in on about into onto between without through during "
    "against toward towards under near behind per via concerning regarding"
)
STRANDED = _words("from for about with like at to of in on")
"""A question may end with these: where are you from?"""
PARTICLES = _words("in on by over")
"""Prepositions that also end a command: come in, turn it on."""
AUXILIARIES = _words(
    "is are am was were be been being have has had do does did can could will would shall "
    "should may might must isn't aren't wasn't weren't don't doesn't didn't can't couldn't "
    "won't wouldn't shouldn't"
)
TRAILS = tuple(
    _phrases(
        "would like to know; want to know; like to know; i wonder; was wondering; was thinking; "
        "been thinking; let me think; let me see; i think; i mean; i guess; you know; kind of; "
        "sort of; tell me; do you know; can you; could you; would you; what about; how about; "
        "the thing is; and then; that maybe; the first; the next; the other; the most; the only; "
        "trying to find out; so that; such as; and so; want you to; the question is; "
        "the problem is"
    )
)
"""Phrases that lead to something else."""
NEEDS_OBJECT = _words(
    "buy want need get make give bring find send put take use said say says means mean"
)
"""Verbs that say nothing without what follows."""
ADVERBS = _words("not then also just always never even still already now only probably")
"""After an auxiliary they stand before the rest: he was not ..."""
THAT_LEADS = _words(
    "is was said say says think thought know knew him her me them us believe hope sure "
    "told means find found heard hear feel thing so"
)
"""Before a last "that": a clause follows."""
WHOLE = _phrases(
    "yes; yeah; yep; no; nope; thanks; thank you; thank you very much; okay; ok; hello; hi; hey; "
    "goodbye; bye; good morning; good evening; good night; good afternoon; sure; of course; "
    "never mind; stop; cancel; continue; pause; resume; help; wait; that's all; that is all; "
    "that's it; go ahead; go on; come in; come on; i see; i think so; i hope so; i don't know; "
    "i know; not really; no thanks; no thank you; yes please; please do; you're welcome; "
    "all right; alright; i don't want to; i'd love to; exactly; sounds good; that's right; "
    "excuse me; sorry; what; why; nothing; good; great"
)
"""Short turns that are complete."""
OPENERS = _words("yes yeah no so well and but okay ok oh please then also now hey sorry")
"""Said before the sentence proper."""
QUESTION_WORDS = _words("what who whom whose where when why how which")
SUBORDINATORS = _words(
    "if when while because although though unless since before after until whenever once whether"
)
SUBJECTS = _words(
    "i you he she it we they this that these those there who somebody someone everybody everyone "
    "nobody i'm you're he's she's it's we're they're that's there's i'd you'd he'd she'd we'd "
    "they'd i'll you'll he'll she'll it'll we'll they'll i've you've we've they've"
)
COMMANDS = _words(
    "turn set play tell stop show open close call remind give send find make add go come let let's "
    "start pause read explain help write say take put bring get look keep try wait switch cancel "
    "delete remove repeat translate search check list book order buy change move wake talk speak "
    "describe compare count sing choose pick use run create skip answer ask forget remember"
)
LIKELY = 0.5
"""Melody below this does not sound finished."""
SURE = 0.9
"""Melody from here on shortens the wait behind finished words."""
ENDINGS = ("ed", "es", "s")
"""Of a finite verb after a noun: the train leaves."""


def sentence_hint(text: str) -> Hint:
    """Say whether ``text``, what the user has said so far, sounds like a whole sentence.

    "unsure" for bare fragments, which may be an answer or a beginning.
    """
    text = text.strip().lower().replace("’", "'")
    if not text:
        return "unsure"
    if text.endswith(("...", "…", "-", "–", "—", ":", ";")):
        return "unfinished"
    words = re.findall(r"[a-z0-9']+", text)
    if not words:
        return "unsure"
    line = " ".join(words)
    if line in WHOLE:
        return "finished"
    asked = text.endswith("?")
    hint = _ending(words, line, asked) or _whole(words, text[:-1], asked)
    if text.endswith(","):
        # The recogniser heard no final fall; but it writes some commas without reason.
        return "unsure" if hint == "finished" else "unfinished"
    return hint


def _ending(words: list[str], line: str, asked: bool) -> Hint | None:
    """Judge by the last words; None when they say nothing."""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    question = words[0] in QUESTION_WORDS or (len(words) > 1 and words[1] in QUESTION_WORDS)
    if last in FILLERS and not (last == "like" and question):
        return "unfinished" if last != "well" or len(words) < 3 else None
    if last in NEEDS_MORE:
        return "unfinished" if last != "please" or len(words) < 4 else None
    if line.endswith(TRAILS) and (len(words) < 6 or not asked):
        return "unfinished"
    if last == "that" and before in THAT_LEADS and not question:
        return "unfinished"
    if last in PREPOSITIONS:
        return _preposition(words, asked and question)
    embedded = bool((QUESTION_WORDS | {"than", "as"}) & set(words[1:-1]))
    if last in AUXILIARIES:
        if words[0] in {"yes", "yeah", "no"} and len(words) < 5:
            return "finished"
        if asked and question and last in {"do", "have"}:
            return "finished"
        return "unsure" if embedded else "unfinished"
    if last in NEEDS_OBJECT and len(words) > 1 and not asked:
        return "unsure" if embedded or question else "unfinished"
    if last in ADVERBS and before in AUXILIARIES and not asked:
        return "unfinished"
    return None


def _preposition(words: list[str], asked: bool) -> Hint:
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if asked and last in STRANDED:
        # "What is it about?" is whole; "what is the weather in?" is not.
        return "finished" if before in SUBJECTS or before.endswith("ing") else "unsure"
    if last in PARTICLES and (before in {"it", "me", "them", "him", "her", "us", "this", "that"}):
        return "finished"
    return "unfinished"


def _whole(words: list[str], text: str, asked: bool) -> Hint:
    """Judge a sentence whose end is no objection."""
    while len(words) > 1 and words[0] in OPENERS:
        words = words[1:]
    first, second = words[0], words[1] if len(words) > 1 else ""
    if asked:
        return "finished" if len(words) > 2 else "unsure"
    if first in SUBORDINATORS and second not in AUXILIARIES and "," not in text:
        # A second subject is that of the main clause: if it rains we stay at home.
        two = len(words) > 6 and sum(word in SUBJECTS for word in words) > 1
        return "finished" if two else "unfinished"
    if len(words) < 3:
        return "finished" if first in COMMANDS and len(words) == 2 else "unsure"
    if first in QUESTION_WORDS or first in AUXILIARIES or first in COMMANDS or first in SUBJECTS:
        return "finished"
    if AUXILIARIES & set(words[1:-1]) or SUBJECTS & set(words[1:-1]):
        return "finished"
    verb = any(word.endswith(ENDINGS) and len(word) > 4 for word in words[2:-1])
    return "finished" if first in {"the", "my"} and verb else "unsure"


def patience(turn: TurnSettings, text: Hint, probability: float | None) -> int:
    """Return how many milliseconds of silence confirm the end of a turn.

    ``text`` is the hint of the words ("unsure" without words), ``probability`` that of
    the melody (None without Smart Turn). Words that ask for more are believed. Words and
    melody must agree to shorten the wait; a melody that goes on lengthens it.
    """
    if text == "unfinished":
        return turn.unfinished_ms
    if probability is None:
        return turn.confirm_ms if text == "finished" else turn.unsure_ms
    if probability < LIKELY:
        middle = (turn.unsure_ms + turn.unfinished_ms) // 2
        return middle if text == "finished" else turn.unfinished_ms
    return turn.confirm_ms if text == "finished" and probability >= SURE else turn.unsure_ms
