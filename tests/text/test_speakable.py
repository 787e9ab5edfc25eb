"""What a language model writes, and what the voice is given for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin.events import Word
from coda_voice_plugin.speakable import Sayable, align, clean, speakable, spoken_text


def said(text: str, language: str = "en") -> str:
    return spoken_text(speakable(text, language))


def shown(text: str) -> str:
    return " ".join(token.written for token in speakable(text))


NUMBERS = {
    "0": "zero",
    "7 cats": "seven cats",
    "21": "twenty-one",
    "105": "one hundred five",
    "1,000": "one thousand",
    "12,345": "twelve thousand three hundred forty-five",
    "1,234,567": "one million two hundred thirty-four thousand five hundred sixty-seven",
    "1000000": "one million",
    "1234567": "one two three four five six seven",
    "007": "zero zero seven",
    "3.14": "three point one four",
    "0.5": "zero point five",
    "-5": "minus five",
    "−5": "minus five",
    "~5": "about five",
    ">5": "more than five",
    "≥5": "at least five",
    "±2": "plus or minus two",
    "100+ people": "one hundred plus people",
    "10-15": "ten to fifteen",
    "10–15": "ten to fifteen",
    "10 - 15": "ten to fifteen",
    "1st, 2nd, 3rd": "first, second, third",
    "the 21st": "the twenty-first",
    "1/2": "one half",
    "2/3": "two thirds",
    "3/4": "three quarters",
    "10/10": "ten out of ten",
    "1 1/2 cups": "one and one half cups",
    "1½": "one and one half",
    "50%": "fifty percent",
    "5 %": "five percent",
    "5-10%": "five to ten percent",
    "10k": "ten thousand",
    "4K": "four K",
    "10x faster": "ten times faster",
    "16:9": "sixteen to nine",
    "24/7": "twenty-four seven",
    "1920x1080": "nineteen twenty by ten eighty",
    "5'10\" tall": "five foot ten tall",
    "It cost 3,50": "It cost three, fifty",
    "٣ apples": "three apples",
    '"5"': '"five"',
    "(7)": "(seven)",
    "9" * 16: " ".join(["nine"] * 16),
}
MONEY = {
    "$25.50,": "twenty-five dollars and fifty cents,",
    "$1": "one dollar",
    "$0.99": "ninety-nine cents",
    "$1.01": "one dollar and one cent",
    "$1,000": "one thousand dollars",
    "$5k": "five thousand dollars",
    "$1.5M": "one point five million dollars",
    "$2bn": "two billion dollars",
    "$5 million": "five million dollars",
    "$10-15": "ten to fifteen dollars",
    "-$5": "minus five dollars",
    "$5/month": "five dollars per month",
    "€25": "twenty-five euros",
    "25€": "twenty-five euros",
    "25 €": "twenty-five euros",
    "€11.80–€29.40": "eleven euros and eighty cents to twenty-nine euros and forty cents",
    "£3.50": "three pounds and fifty pence",
    "¥500": "five hundred yen",
}
UNITS = {
    "3.5 km,": "three point five kilometers,",
    "1 km": "one kilometer",
    "5km": "five kilometers",
    "60 mph": "sixty miles per hour",
    "80 km/h": "eighty kilometers per hour",
    "9.8 m/s²": "nine point eight meters per second squared",
    "16GB": "sixteen gigabytes",
    "10 MB/s": "ten megabytes per second",
    "20 ms": "twenty milliseconds",
    "5s": "five seconds",
    "6 ft": "six feet",
    "2 tbsp. butter": "two tablespoons butter",
    "5 m²": "five square meters",
    "-5°C": "minus five degrees Celsius",
    "20-25°C": "twenty to twenty-five degrees Celsius",
    "72°F": "seventy-two degrees Fahrenheit",
    "90°": "ninety degrees",
    "2.4 GHz": "two point four gigahertz",
    "1999 km": "one thousand nine hundred ninety-nine kilometers",
}
TIMES = {
    "14:30": "fourteen thirty",
    "14:00": "fourteen hundred",
    "2:00": "two o'clock",
    "2:05": "two oh five",
    "2pm": "two PM",
    "2 pm": "two PM",
    "2:30pm": "two thirty PM",
    "2:00 PM": "two PM",
    "9:15 a.m. EST": "nine fifteen AM EST",
    "10 a.m. today": "ten AM today",
    "2-3pm": "two to three PM",
    "12:30:45": "twelve thirty and forty-five seconds",
    "2024-05-12": "May twelfth, twenty twenty-four",
    "12/05/2024": "December fifth, twenty twenty-four",
    "25/12/2024": "December twenty-fifth, twenty twenty-four",
    "3.11.2024": "November third, twenty twenty-four",
    "2024-05-12T14:30:00Z": "May twelfth, twenty twenty-four, fourteen thirty",
    "May 5, 2024": "May fifth, twenty twenty-four",
    "on 5 May 2024": "on the fifth of May twenty twenty-four",
    "Jan. 3": "January third",
    "Dec 25th": "December twenty-fifth",
    "in 1999": "in nineteen ninety-nine",
    "in 1776": "in seventeen seventy-six",
    "1776 people": "one thousand seven hundred seventy-six people",
    "2000 and 2005": "two thousand and two thousand five",
    "1905": "nineteen oh five",
    "1999-2003": "nineteen ninety-nine to two thousand three",
    "the 1990s": "the nineteen nineties",
    "the '90s": "the nineties",
    "mid-1990s": "mid nineteen nineties",
    "555-1234": "five five five, one two three four",
    "(555) 123-4567": "(five five five) one two three, four five six seven",
    "+1-555-123-4567": "plus one, five five five, one two three, four five six seven",
    "v2.1": "version two point one",
    "2.1.3": "two point one point three",
    "1.0.0-rc1": "one point zero point zero R C one",
    "Python 3.11": "Python three point eleven",
    "192.168.0.1": "one nine two dot one six eight dot zero dot one",
}
WORDS = {
    "Dr. Smith": "Doctor Smith",
    "on Elm Dr. now": "on Elm Drive now",
    "St. Louis": "Saint Louis",
    "Main St.": "Main Street",
    "42nd St. Station": "forty-second Street Station",
    "e.g., this": "for example, this",
    "e.g. this": "for example, this",
    "i.e. that": "that is, that",
    "pears, etc.": "pears, et cetera.",
    "cats vs. dogs": "cats versus dogs",
    "No. 5": "Number five",
    "No. Yes.": "No. Yes.",
    "Fig. 3": "Figure three",
    "World War II": "World War two",
    "Henry VIII,": "Henry the eighth,",
    "Vitamin C and I": "Vitamin C and I",
    "C++, C# and .NET": "C plus plus, C sharp and dot NET",
    "Node.js": "Node dot js",
    "main.py": "main dot py",
    "config.json": "config dot jason",
    "src/main/app.py": "src slash main slash app dot py",
    "/etc/hosts": "slash etc slash hosts",
    "3D": "three D",
    "H2O": "H two O",
    "H₂O": "H two O",
    "① first": "one first",
    "timeout=30s": "timeout equals thirty seconds",
    "visitors/year": "visitors per year",
    "f(x1), print(2)": "f x one, print two",
    "Ph.D. student": "PhD student",
    "c. 1920": "circa nineteen twenty",
    "GPT-4": "GPT four",
    "I/O": "I O",
    "and/or": "and or",
    "he/she": "he or she",
    "R&D": "R and D",
    "#1": "number one",
    "#python": "hashtag python",
    "@bob": "at bob",
    "& @": "and at",
    "snake_case": "snake case",
    "get_name()": "get name",
    "x=1": "x equals one",
    "2 + 2 = 4": "two plus two equals four",
    "2+2=4": "two plus two equals four",
    "5 - 3 = 2": "five minus three equals two",
    "6 / 2": "six divided by two",
    "3 * 4": "three times four",
    "x^2": "x squared",
    "2**10": "two to the power of ten",
    "3x + 2": "three x plus two",
    "a → b": "a to b",
    "Paris - a city": "Paris, a city",
    "end.Next one": "end. Next one",
    "wait...what": "wait... what",
    "https://x.org/a?b=1": "x dot org",
    "(https://www.example.com/).": "(example dot com).",
    "http://localhost:8080": "localhost port eight zero eight zero",
    "docs.python.org/3/": "docs dot python dot org",
    "john.doe@example.com!": "john dot doe at example dot com!",
}
MARKS = {
    "```": "",
    "```python": "",
    "```python\nprint(1)\n```\nDone.": "Done.",
    "- item": "item",
    "* item": "item",
    "- [ ] task": "task",
    "1. item": "one, item",
    "12) more": "twelve, more",
    "# Heading": "Heading",
    "> quoted": "quoted",
    "| a | b |": "a, b",
    "|---|:--|": "",
    "---": "",
    "**Bold**, *it*, __un__, _one_ and ~~gone~~.": "Bold, it, un, one and gone.",
    "***both***": "both",
    "**open": "open",
    "close**.": "close.",
    "Use `x = 1` here": "Use x equals one here",
    "Use `**kwargs`.": "Use kwargs.",
    "`" + "long " * 20 + "` is code": "is code",
    "Hello 😀!": "Hello!",
    "Good 👍🏽 job": "Good job",
    "1️⃣ first": "one first",
    "Nice :-)": "Nice",
    "Nice ;) day": "Nice day",
    "love <3": "love",
    "<b>so</b><br>what": "so what",
    "Tom &amp; Ann": "Tom and Ann",
    "[text](https://a.com/b_(c)), and": "text, and",
    "![alt](a.png) shown": "alt shown",
    "cited[2].": "cited.",
    r"\(x\) and \frac{1}{2}": "x and one half",
    "$E = mc^2$": "E equals mc squared",
    "$2 + 2 = 4$": "two plus two equals four",
    "x =3": "x equals three",
    r"5 \times 3": "five times three",
    r"2 \* 3": "two times three",
    "costs $5 and $6": "costs five dollars and six dollars",
}
ENGLISH = NUMBERS | MONEY | UNITS | TIMES | WORDS | MARKS


@pytest.mark.parametrize(("written", "spoken"), ENGLISH.items(), ids=repr)
def test_each_example_is_said_as_a_person_would(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize("spoken", ENGLISH.values(), ids=repr)
def test_what_is_said_is_said_the_same_again(spoken: str) -> None:
    assert said(spoken) == spoken


@pytest.mark.parametrize(
    "prose",
    [
        "It's the U.S. and the state-of-the-art rock 'n' roll.",
        "Mr. O'Neil's well-known dog's café, isn't it?",
        "Mrs. Jones met Ms. Lee at NASA; the PDF was on the GPU.",
        '"Yes," she said. “No,” he said.',
        "Wait... what?! Oh no!",
        "A naïve résumé — or so they say.",
        "The kids' toys (all of them) are here: look.",
        "I may march in May; an august man sat in the sun.",
        "No. I don't think so.",
        "In a minute, at a meter, by the way, a.k.a. never.",
        "Don’t worry, we’ll be fine.",
        "Hmm... let me think…",
        "¿Qué? 日本語のテキスト नमस्ते दुनिया Привет",
    ],
)
def test_plain_prose_passes_unchanged(prose: str) -> None:
    if " — " in prose:  # a lone dash is heard as a comma and shown as it was
        assert shown(prose) == prose
        assert said(prose) == prose.replace(" —", ",")
    else:
        assert [token.written for token in speakable(prose)] == prose.split()
        assert said(prose) == prose


def test_captions_show_what_was_written() -> None:
    tokens = speakable("**Paris** costs $25.50, see https://x.org/a?b=1 :-) 😀 - about 3.5 km.")
    assert [token.written for token in tokens] == (
        ["Paris", "costs", "$25.50,", "see", "https://x.org/a?b=1 -", "about", "3.5", "km."]
    )
    assert tokens[2] == Sayable("$25.50,", "twenty-five dollars and fifty cents,")


def test_a_mark_that_is_not_shown_still_makes_its_pause() -> None:
    assert speakable("a | b") == (Sayable("a", "a,"), Sayable("b", "b"))
    assert speakable("So <> - on") == (Sayable("So", "So,"), Sayable("on", "on"))


def test_other_languages_get_their_numbers_and_no_english() -> None:
    pytest.importorskip("num2words")
    assert said("**Es** kostet 25, etwa 3,5 km & 50%.", "de") == (
        "Es kostet fünfundzwanzig, etwa drei Komma fünf km fünfzig Prozent."
    )
    assert said("1.234 Leute", "de") == "eintausendzweihundertvierunddreißig Leute"
    assert said("vingt et 21 😀", "fr-FR") == "vingt et vingt et un"


@pytest.mark.parametrize("language", ["xx", "", "zh", "de-AT", "----", "klingon"])
def test_an_unknown_language_is_only_cleaned(language: str) -> None:
    assert said("**Dr.** Foo 😀 [x](http://a.b)", language) == "Dr. Foo x"


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_gives_tokens_with_sound_in_order(text: str) -> None:
    for language in ("en", "de", "xx"):
        tokens = speakable(text, language)
        rest = " ".join(clean(text).split())
        for token in tokens:
            assert any(map(str.isalnum, token.spoken))
            assert language != "en" or any(map(str.isalpha, token.spoken))
            assert token.spoken == " ".join(token.spoken.split())
            place = rest.find(token.written)
            assert place >= 0
            rest = rest[place + len(token.written) :]


MARKED = st.text("ab1059 .,-*_`#$%&/\\()[]<>{}|~^=+:;!?'\"@€°\n", max_size=60)


@given(MARKED)
@settings(max_examples=500, deadline=None)
def test_marks_and_digits_in_any_order_give_words(text: str) -> None:
    for token in speakable(text):
        assert any(map(str.isalpha, token.spoken))
        assert not any("0" <= sign <= "9" for sign in token.spoken)


@given(st.lists(st.from_regex(r"[A-Za-z][a-z]{1,8}(['-][a-z]{2,5})?[,.!?]?", fullmatch=True)))
@settings(max_examples=200, deadline=None)
def test_plain_words_stay_and_saying_them_again_changes_nothing(words: list[str]) -> None:
    once = said(" ".join(words))
    assert said(once) == once


@pytest.mark.parametrize(
    "unit",
    ["*", "1,", "a.", "_", "`", "[", "](", "<", "<a ", "$a", "1-", "1.", "-", "| ", "\\", "(", ":)",
     "a_", "&a", "1/", "a/", "a@", "- ", "> ", "x=", "~", "http://", "{", "\\frac{", "😀", "1:",
     "a*", "** ", "=", "#", "'", ".", "a-", "^", "[1]", "\n", "1 ", "a`", "e\u0301", "\u200d", "°"],
)  # fmt: skip
def test_hostile_repetition_returns(unit: str) -> None:
    for text in (unit * 5000, "a" + unit * 5000 + "b"):
        for token in speakable(text):
            assert token.spoken


def words(*timed: tuple[str, int, int]) -> list[Word]:
    return [Word(*word) for word in timed]


def test_the_words_of_one_token_become_one_caption() -> None:
    tokens = speakable("It costs $25.50, Bob.")
    spoken = spoken_text(tokens).split()
    timed = [Word(word, 100 * i, 100 * i + 90) for i, word in enumerate(spoken)]
    assert align(tokens, timed) == (
        Word("It", 0, 90),
        Word("costs", 100, 190),
        Word("$25.50,", 200, 690),
        Word("Bob.", 700, 790),
    )


def test_an_engine_that_parts_words_differently_is_followed_by_letters() -> None:
    tokens = speakable("twenty-five is 30 now")
    timed = words(("twenty", 0, 60), ("five", 60, 100), ("is", 110, 130), ("thirty", 140, 200),
                  ("now", 210, 240))  # fmt: skip
    assert align(tokens, timed) == tuple(
        words(("twenty-five", 0, 100), ("is", 110, 130), ("30", 140, 200), ("now", 210, 240))
    )
    glued = words(("twentyfive is thirty", 0, 180), ("now", 190, 220))
    assert align(tokens, glued)[3] == Word("now", 190, 220)
    assert align(tokens, glued)[0] == Word("twenty-five", 0, 100)


def test_without_times_or_tokens_there_are_no_captions() -> None:
    assert align(speakable("Hello"), []) == ()
    assert align([], words(("Hello", 0, 10))) == ()


@given(
    st.text("ab 1$%.-,", max_size=60),
    st.lists(st.tuples(st.text("ab .one", max_size=6), st.integers(0, 99), st.integers(0, 99))),
)
@settings(max_examples=300, deadline=None)
def test_any_times_give_ordered_captions(text: str, timed: list[tuple[str, int, int]]) -> None:
    tokens = speakable(text)
    placed = align(tokens, words(*timed))
    if tokens and timed:
        assert [word.text for word in placed] == [token.written for token in tokens]
    floor = min((start for _, start, _ in timed), default=0)
    for word in placed:
        assert floor <= word.start <= word.end
        floor = word.end


def test_thousands_of_words_are_aligned_by_letters_alone() -> None:
    tokens = speakable("a " * 3000)
    placed = align(tokens, [Word("a", i, i + 1) for i in range(2999)])
    assert len(placed) == 3000
    assert placed[-1].end == 2999
