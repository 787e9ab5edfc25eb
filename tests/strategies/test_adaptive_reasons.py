"""The rules of `adaptive`: each reason on sentences that have it, and on some that only look so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from coda_voice_plugin.strategies.adaptive.reasons import (
    ANY_LANGUAGE,
    REASONS,
    Offer,
    foreign,
    reasons,
)
from coda_voice_plugin.strategies.adaptive.words import MOST, phrase, read

ROOT = Path(__file__).parents[2]
TOOLS = [
    ("set_timer", "Start a timer that rings after some minutes."),
    ("getWeather", "The weather forecast of a place."),
]
EXAMPLES = {
    "knowledge_question": ["Why is the sky blue?", "what does a mango taste like",
                           "i'm so nervous what are good breathing exercises"],
    "yes_no_question": ["is pluto a planet", "Do penguins have knees?"],
    "how_to": ["how do i bake bread", "How to tie a tie?"],
    "how_much": ["how many people live in tokyo", "what's the population of peru"],
    "explain": ["tell me about black holes", "Explain relativity."],
    "command": ["play some jazz", "could you please switch the lights off"],
    "tool": ["is the timer still running", "what will the weather be"],
    "remember": ["Remember that my name is Ann.", "don't forget that I'm allergic to nuts"],
    "remind": ["remind me to buy milk", "wake me at seven"],
    "recall": ["what did I tell you yesterday", "What's my name?", "do you remember my dog"],
    "current": ["any news today", "what time is it"],
    "compute": ["what is 17 times 23", "convert 26 miles to kilometers"],
    "writing": ["write an email to my boss", "translate good morning into french"],
    "advice": ["which laptop should i buy", "recommend me a crime novel"],
    "doubt": ["are you sure about that", "is that true"],
    "crisis": ["i want to kill myself", "my husband fell and he isn't breathing"],
    "own_working": ["how are you made", "what can you do"],
    "subject": ["the engine of my car", "what about the moon"],
    "number": ["it was 35", "thirty of them", "$25 for that"],
    "unit": ["that is two kilometers", "8 euros", "20%"],
    "date": ["on Monday", "it happened yesterday"],
    "name": ["we went to Paris", "Is it true that Ann lives there?"],
    "asked_for": ["can you sing", "i want you to look at that"],
    "question_mark": ["Right?"],
    "long": ["word " * 30],
    "greeting": ["Hello there.", "good morning"],
    "farewell": ["good night", "okay see you tomorrow"],
    "thanks": ["thank you so much"],
    "how_are_you": ["Hi, how are you?", "hows it going"],
    "about_you": ["do you like music", "What's your favorite color?"],
    "acknowledgement": ["okay", "Oh, I see.", "yeah sure"],
    "joke": ["tell me a joke"],
    "performance": ["sing me a song", "tell me a story"],
    "invitation": ["can i tell you something", "guess what"],
    "manner": ["hold on", "can you speak slower"],
    "apology": ["sorry about that", "never mind"],
    "praise": ["you have a nice laugh and your voice is lovely", "well done"],
    "wish": ["happy birthday", "wish me luck"],
    "feeling": ["I'm so tired today.", "i feel great"],
    "opinion": ["i think rain is fine", "I agree."],
    "exclamation": ["What a day!", "no way"],
    "telling": ["I went for a walk.", "my dog fell asleep on my feet"],
    "telling_fact": ["I ran ten kilometers today.", "we went to Paris in 2019"],
    "tag_question": ["this place is nice, isn't it?"],
    "short": ["Vermont.", ""],
    "bare_noun": ["Bohemian Rhapsody.", "atomic number of iron"],
}  # fmt: skip
LOOK_ALIKE = [
    ("remember", "I remember when we were kids."),
    ("remind", "you remind me of my brother"),
    ("how_are_you", "How are you made?"),
    ("knowledge_question", "How are you?"),
    ("knowledge_question", "when i'm sad i listen to music"),
    ("joke", "tell me about black holes"),
    ("explain", "tell me a joke"),
    ("command", "I called my mom today."),
    ("name", "Hello. How are you? I'm fine."),
    ("name", "ALL IN CAPITALS TODAY"),
    ("name", "see you on Monday"),
    ("telling", "i wonder how deep the ocean is"),
    ("acknowledgement", "okay, and how tall is it"),
    ("number", "one of those days"),
    ("yes_no_question", "am i funny"),
]


def found(text: str, last: str | None = None, language: str = "en") -> dict[str, float]:
    return reasons(read(text), last, Offer(TOOLS), strange=foreign(text, language))


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in EXAMPLES.items() for text in texts]
)
def test_a_sentence_gives_its_reason(name: str, text: str) -> None:
    assert found(text)[name] > 0


def test_every_reason_has_an_example_and_a_sentence_for_people() -> None:
    elsewhere = {"follow_up_knowledge", "follow_up_chat", "foreign"}
    assert EXAMPLES.keys() == REASONS.keys() - elsewhere
    assert all(sentence.endswith((".", ").")) for sentence in REASONS.values())


@pytest.mark.parametrize(("name", "text"), LOOK_ALIKE)
def test_what_only_looks_so_does_not(name: str, text: str) -> None:
    assert name not in found(text)


@pytest.mark.parametrize(
    "text", ["And in Paris?", "why is that", "what about tomorrow", "who was he", "Tell me more."]
)
def test_a_follow_up_belongs_to_whoever_answered_before(text: str) -> None:
    assert "follow_up_knowledge" in found(text, "hybrid")
    assert "follow_up_chat" not in found(text, "hybrid")
    assert "follow_up_chat" in found(text, "moshi")
    assert "follow_up_knowledge" not in found(text, "moshi")


def test_two_words_of_a_tool_count_more_than_one_and_its_name_more_than_its_description() -> None:
    described = found("ringing bells")["tool"]
    named = found("a timer")["tool"]
    both = found("the forecast of the weather")["tool"]
    assert 0 < described < named < both <= 1


def test_without_tools_nothing_is_covered() -> None:
    assert Offer([]).match(("set", "a", "timer")) == 0.0


def test_a_tool_is_not_known_by_words_that_every_tool_has() -> None:
    assert "tool" not in found("get the name of it and return")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("wie spät ist es in tokio 24 ?", "de"),
        ("Сколько времени сейчас в 24 часа?", "en"),
        ("今何時ですか 24 ?", "en"),
    ],
)
def test_of_an_unknown_language_only_marks_numbers_and_tools_are_read(
    text: str, language: str
) -> None:
    assert found(text, None, language).keys() <= ANY_LANGUAGE
    assert {"foreign", "number", "question_mark"} <= found(text, None, language).keys()


@pytest.mark.parametrize("language", ["en", "en-GB", "EN"])
def test_english_by_any_code_has_its_rules(language: str) -> None:
    assert not foreign("How are you, José?", language)


def test_short_forms_are_written_out_with_and_without_their_mark() -> None:
    assert phrase("what's") == phrase("whats") == phrase("What’s") == ("what", "is")
    assert phrase("I don't") == phrase("i dont") == ("i", "do", "not")
    assert phrase("my sister's dog") == ("my", "sister", "dog")
    assert phrase("let's") == ("let", "us")


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    text = f"hello {'blah ' * 50_000} what did I tell you"
    assert {"greeting", "recall"} <= found(text).keys()
    assert sum(map(len, read(text).words)) <= MOST + 10


@pytest.mark.parametrize(
    "piece",
    ["a", "'", "a'", "1.", "1,", "I'm ", "what is ", "\x00", "\x1b[2J", "\u202e", "?!", "İ", "\n",
     "$", "don't look it up ", "so well okay and ", "\ud800"],
)  # fmt: skip
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    began = time.thread_time()
    for _ in range(3):
        found(piece * 100_000)
    assert time.thread_time() - began < 0.5


def test_control_characters_are_no_words() -> None:
    assert read("hel\x00lo \x1b[31m \u202e").words == ("hel", "lo", "31m")


def test_the_set_has_no_line_twice_and_says_what_each_is() -> None:
    lines = [
        json.loads(line)
        for line in (ROOT / "benchmarks/routing/utterances.jsonl").read_text().splitlines()
    ]
    assert len(lines) >= 400
    assert {line["label"] for line in lines} == {"moshi", "hybrid"}
    assert {line["kind"] for line in lines} == {"plain", "hard", "partial", "follow"}
    keys = [(line["text"], line.get("last")) for line in lines]
    assert len(set(keys)) == len(keys)
