"""What a voice tells, and the lines that the chat then holds: (events, lines) by what happens."""

from __future__ import annotations

from typing import Any

STORIES: dict[str, tuple[list[tuple[str, Any]], list[list[str]]]] = {
    "an answer that nobody heard is dropped, and its question grows": (
        [("userText", {"text": "one", "final": True}),
         ("userText", {"text": "one two", "final": True}),
         ("played", {"turn": 1, "samples": 9}),
         ("turn", {"index": 1, "user": "one two", "assistant": "Yes."})],
        [["user", "one two"], ["assistant", "Yes."]],
    ),
    "words that are told twice": (
        [("userText", {"text": "one", "final": True}),
         ("userText", {"text": "one", "final": True}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes."})],
        [["user", "one"], ["assistant", "Yes."]],
    ),
    "the next question comes before the last answer is told": (
        [("userText", {"text": "one", "final": True}),
         ("played", {"turn": 1, "samples": 9}),
         ("userText", {"text": "two", "final": True}),
         ("played", {"turn": 1, "samples": 12}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes."}),
         ("played", {"turn": 2, "samples": 9}),
         ("turn", {"index": 2, "user": "two", "assistant": "No."})],
        [["user", "one"], ["assistant", "Yes."], ["user", "two"], ["assistant", "No."]],
    ),
    "an answer to two questions": (
        [("userText", {"text": "one", "final": True}),
         ("played", {"turn": 1, "samples": 9}),
         ("userText", {"text": "two", "final": True}),
         ("turn", {"index": 1, "user": "one two", "assistant": "Yes."})],
        [["user", "one"], ["user", "two"], ["assistant", "Yes."]],
    ),
    "a voice without an ear": (
        [("played", {"turn": 1, "samples": 9}),
         ("turn", {"index": 1, "user": "", "assistant": "Yes."})],
        [["assistant", "Yes."]],
    ),
    "a report that comes late": (
        [("userText", {"text": "one", "final": True}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes."}),
         ("userText", {"text": "two", "final": True}),
         ("played", {"turn": 1, "samples": 20}),
         ("hangUp", {})],
        [["user", "one"], ["assistant", "Yes."], ["user", "two"]],
    ),
    "only partial words": (
        [("userText", {"text": "on", "final": False}),
         ("userText", {"text": "", "final": True}),
         ("hangUp", {})],
        [],
    ),
    "hung up in mid-answer, and back before it was over": (
        [("userText", {"text": "one", "final": True}),
         ("caption", {"turn": 1, "words": [["Yes", 0, 10], ["indeed.", 10, 20]]}),
         ("played", {"turn": 1, "samples": 12}),
         ("hangUp", {}),
         ("caption", {"turn": 1, "words": [["indeed.", 10, 20]]}),
         ("played", {"turn": 1, "samples": 20}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes indeed."})],
        [["user", "one"], ["assistant", "Yes"], ["assistant", "indeed."]],
    ),
    "hung up before the answer, and back in time for it": (
        [("userText", {"text": "one", "final": True}),
         ("hangUp", {}),
         ("played", {"turn": 1, "samples": 12}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes."})],
        [["user", "one"], ["assistant", "Yes."]],
    ),
    "the next conversation counts from one as well": (
        [("userText", {"text": "one", "final": True}),
         ("caption", {"turn": 1, "words": [["Yes", 0, 10], ["indeed.", 10, 20]]}),
         ("played", {"turn": 1, "samples": 12}),
         ("hangUp", {}),
         ("restart", {}),
         ("turn", {"index": 1, "user": "one", "assistant": "Yes indeed."})],
        [["user", "one"], ["assistant", "Yes"], ["user", "one"], ["assistant", "Yes indeed."]],
    ),
}  # fmt: skip
