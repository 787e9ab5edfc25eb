"""Who answers: vetoes, phrases, preference, hysteresis, weights, and what was measured of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from coda_voice_plugin import ConfigError
from coda_voice_plugin.config.hybrid import AdaptiveSettings
from coda_voice_plugin.strategies.adaptive.reasons import REASONS
from coda_voice_plugin.strategies.adaptive.router import SLOW_RAISES, Decision, Router, Situation
from coda_voice_plugin.strategies.adaptive.weights import BUILT_IN, Weights, load_weights

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RESULT = json.loads((BENCHMARKS / "results" / "routing.json").read_text())
DOCUMENT = (ROOT / "docs" / "adaptive.md").read_text()
QUESTION = "What is the capital of Australia?"
CHAT = "Hello, how are you?"
FAIR = Situation()


def decide(text: str, situation: Situation = FAIR, **settings: object) -> Decision:
    return Router(AdaptiveSettings(**settings)).decide(text, situation)


def even(bias: float) -> Weights:
    """Every text has the same probability."""
    return Weights(bias, dict.fromkeys(REASONS, 0.0))


@pytest.fixture(scope="module")
def routing() -> Iterator[ModuleType]:
    """The benchmark, whose split and scores are used here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import routing as module

        yield module


def test_a_question_goes_to_the_language_model_and_a_greeting_to_moshi() -> None:
    asked, greeted = decide(QUESTION), decide(CHAT)
    assert (asked.mode, asked.forced) == ("hybrid", None)
    assert (greeted.mode, greeted.forced) == ("moshi", None)
    assert asked.probability > 0.9
    assert greeted.probability < 0.1


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("how are you", "moshi"),
        ("how are you made", "hybrid"),
        ("tell me a joke", "moshi"),
        ("tell me about black holes", "hybrid"),
        ("I remember when we were kids, we used to swim in that lake.", "moshi"),
        ("remember that my name is ann", "hybrid"),
        ("i want to kill myself", "hybrid"),
        ("", "moshi"),
        (" ...\n", "moshi"),
    ],
)
def test_pairs_that_look_alike_are_told_apart(text: str, mode: str) -> None:
    assert decide(text).mode == mode


def test_the_reasons_are_told_with_their_pull_the_strongest_first() -> None:
    made = decide("Thanks! What's the capital of Australia?")
    assert made.reasons[0] == "knowledge_question"
    pulls = dict(zip(made.reasons, made.pulls, strict=True))
    assert pulls["thanks"] < 0 < pulls["knowledge_question"]
    assert [abs(pull) for pull in made.pulls] == sorted(map(abs, made.pulls), reverse=True)
    assert set(made.reasons) <= REASONS.keys()


def test_a_decision_is_data_for_an_event() -> None:
    data = json.loads(json.dumps(asdict(decide(QUESTION))))
    assert data.keys() == {"mode", "probability", "threshold", "reasons", "pulls", "forced"}


@pytest.mark.parametrize(
    ("change", "mode", "forced"),
    [
        ({"llm_up": False}, "moshi", "llm_down"),
        ({"moshi_up": False}, "hybrid", "moshi_down"),
        ({"moshi_up": False, "llm_up": False}, "hybrid", "both_down"),
        ({"overloaded": True}, "moshi", "overloaded"),
        ({"vram_pressure": True}, "moshi", "vram"),
        ({"moshi_up": False, "overloaded": True}, "hybrid", "moshi_down"),
    ],
)
@pytest.mark.parametrize("text", [QUESTION, CHAT])
@pytest.mark.parametrize("prefer", ["auto", "moshi", "hybrid"])
def test_health_and_load_fix_the_decision_whatever_is_preferred(
    change: dict[str, bool], mode: str, forced: str, text: str, prefer: str
) -> None:
    made = decide(text, replace(FAIR, **change), prefer=prefer)
    assert (made.mode, made.forced) == (mode, forced)


@pytest.mark.parametrize("prefer", ["moshi", "hybrid"])
@pytest.mark.parametrize("text", [QUESTION, CHAT])
def test_a_preference_fixes_it_and_the_probability_is_still_told(prefer: str, text: str) -> None:
    made = decide(text, prefer=prefer)
    assert (made.mode, made.forced) == (prefer, "prefer")
    assert made.probability == decide(text).probability


@pytest.mark.parametrize("text", ["look it up", "No, LOOK IT UP!", "hi could you be precise",
                                  "I said look that up", "can you think about it"])  # fmt: skip
@pytest.mark.parametrize("situation", [FAIR, Situation(overloaded=True, vram_pressure=True)])
def test_a_hand_off_wins_over_preference_and_load(text: str, situation: Situation) -> None:
    made = decide(text, situation, prefer="moshi")
    assert (made.mode, made.forced) == ("hybrid", "handoff")


def test_a_hand_off_does_not_wake_a_language_model_that_is_down() -> None:
    made = decide("look it up", Situation(llm_up=False))
    assert (made.mode, made.forced) == ("moshi", "llm_down")


@pytest.mark.parametrize(
    "text",
    [
        "no need to look it up",
        "don't look it up please",
        "I'll have to think about it.",
        "let me think about it",
    ],
)
def test_a_hand_off_that_is_taken_back_or_not_meant_for_moshi_is_none(text: str) -> None:
    assert decide(text).forced is None


def test_the_wish_for_small_talk_wins_over_preference_and_a_hand_off_over_it() -> None:
    made = decide("let's just chat about the capital of france", prefer="hybrid")
    assert (made.mode, made.forced) == ("moshi", "small_talk")
    assert decide("let's just chat. no, look it up").forced == "handoff"


def test_the_users_own_phrases_work_in_any_language() -> None:
    router = Router(AdaptiveSettings(handoff=("schau nach",)), language="de")
    assert router.decide("Moshi, schau nach!", FAIR).forced == "handoff"
    assert router.decide("nach dem Regen", FAIR).forced is None


@pytest.mark.parametrize("last", [None, "moshi", "hybrid"])
@pytest.mark.parametrize("text", ["wie geht es dir", "hauptstadt von peru?", "Как дела?", "ja"])
def test_an_unknown_language_goes_to_the_language_model(text: str, last: str | None) -> None:
    router = Router(AdaptiveSettings(), language="de")
    made = router.decide(text, Situation(last=last))
    assert made.mode == "hybrid"
    assert "foreign" in made.reasons


def test_hysteresis_moves_the_threshold_towards_whoever_answered_before() -> None:
    undecided = Router(AdaptiveSettings(threshold=0.5, hysteresis=0.2), weights=even(0.0))
    made = {last: undecided.decide("x", Situation(last=last)) for last in ("moshi", "hybrid")}
    assert [each.mode for each in made.values()] == ["moshi", "hybrid"]
    assert [each.threshold for each in made.values()] == [0.7, 0.3]
    assert decide("x", Situation(last="moshi"), hysteresis=0.0).threshold == 0.5


def test_the_same_words_in_the_same_situation_are_decided_the_same() -> None:
    router = Router(AdaptiveSettings())
    first = router.decide(QUESTION, Situation(last="moshi"))
    router.decide(CHAT, Situation(tools=[("a", "b")], last="hybrid"))
    assert router.decide(QUESTION, Situation(last="moshi")) == first


def test_a_slow_language_model_raises_the_threshold_a_little() -> None:
    for took, threshold in ((None, 0.5), (4_000.0, 0.5), (4_001.0, 0.5 + SLOW_RAISES)):
        made = decide(QUESTION, Situation(llm_first_token_ms=took))
        assert made.threshold == threshold
        assert made.mode == "hybrid"


def test_the_threshold_stays_a_probability() -> None:
    high = decide(QUESTION, Situation(last="moshi", llm_first_token_ms=1e6), threshold=1.0)
    low = decide(CHAT, Situation(last="hybrid"), threshold=0.0)
    assert (high.threshold, high.mode) == (1.0, "moshi")
    assert (low.threshold, low.mode) == (0.0, "hybrid")


def test_the_tools_of_this_turn_count() -> None:
    router = Router(AdaptiveSettings())
    text = "the vacuum robot is in the hall"
    without = router.decide(text, FAIR).probability
    with_tool = Situation(tools=[("vacuum_robot", "Start or stop the robot.")])
    assert router.decide(text, with_tool).probability > without
    assert router.decide(text, FAIR).probability == without


def test_a_file_of_weights_takes_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    given = json.loads(BUILT_IN.read_text())
    given["weights"]["greeting"] = 50.0
    (tmp_path / "mine.json").write_text(json.dumps(given))
    assert decide(CHAT, weights=str(tmp_path / "mine.json")).mode == "hybrid"


def changed(**weights: object) -> str:
    given = json.loads(BUILT_IN.read_text())
    return json.dumps({"bias": 0.0, "weights": given["weights"] | weights})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not of the form"),
        ('{"bias": 0}', "not of the form"),
        ('{"bias": 0, "weights": {"greeting": 1}}', "lacks knowledge_question"),
        (changed(greetings=1.0), "did you mean 'greeting'"),
        (changed(greeting="1"), "'greeting' is '1'"),
        (changed(greeting=True), "'greeting' is True"),
        (changed(greeting=float("nan")), "'greeting' is nan"),
        (changed(greeting=1e9), "not a number from -100 to 100"),
        (changed().replace('"bias": 0.0, ', ""), "'bias' is None"),
    ],
)
def test_a_bad_file_of_weights_says_what_is_wrong_and_what_to_do(
    content: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"adaptive\.weights") as raised:
        Router(AdaptiveSettings(weights=str(file)))
    assert says in str(raised.value)
    assert "benchmarks/routing.py --fit FILE" in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_of_weights_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_weights(str(tmp_path / "none.json"))
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_weights(str(tmp_path / "bytes.json"))


def test_no_group_is_in_both_parts_and_the_split_is_about_a_third(routing: ModuleType) -> None:
    lines = routing.load([routing.OURS])
    held = {line.group for line in lines if line.held_out}
    taught = {line.group for line in lines if not line.held_out}
    assert not held & taught
    assert 0.25 < sum(line.held_out for line in lines) / len(lines) < 0.35
    plain: dict[str, set[str]] = {}
    for line in lines:
        words = " ".join(re.findall(r"[a-z0-9']+", line.text.lower()))
        plain.setdefault(words, set()).add(line.group)
    assert all(len(groups) == 1 for groups in plain.values())


def test_the_shipped_weights_are_right_as_often_as_is_recorded(routing: ModuleType) -> None:
    held = [line for line in routing.load([routing.OURS]) if line.held_out]
    found = routing.scores(held, routing.modes(load_weights(), held))
    recorded = RESULT["variants"]["rules, fitted weights"]
    assert len(held) == RESULT["held_out"]
    assert found == {name: recorded[name] for name in found}
    assert found["accuracy"] > 0.9


def test_a_set_with_a_wrong_line_is_refused_with_its_place(
    routing: ModuleType, tmp_path: Path
) -> None:
    for bad in ('{"text": "hi"}', "hi", "7", '{"text": "hi", "label": "me"}'):
        file = tmp_path / "mine.jsonl"
        file.write_text('{"text": "hello", "label": "moshi"}\n' + bad + "\n")
        with pytest.raises(SystemExit, match="line 2"):
            routing.load([file])


def test_the_figures_of_the_document_are_those_of_the_record() -> None:
    lines = (BENCHMARKS / "results" / "routing.md").read_text().splitlines()
    tables = [line for line in lines if line.startswith("|") and "---" not in line]
    measured = DOCUMENT.split("<!-- measured -->")[1].split("<!-- end -->")[0]
    shown = [line for line in measured.splitlines() if line.startswith("|") and "---" not in line]
    assert shown == tables
    for row in RESULT["variants"].values():
        assert f"{row['accuracy']:.1%}" in measured


def test_the_confusion_matrix_of_the_document_is_the_recorded_one() -> None:
    matrix = RESULT["variants"]["rules, fitted weights"]["confusion"]
    for label, row in matrix.items():
        assert f"| `{label}` | {row['moshi']} | {row['hybrid']} |" in DOCUMENT


def test_the_times_and_flips_of_the_document_are_the_recorded_ones() -> None:
    took, flips = RESULT["time"], RESULT["on_the_way"]["flips"]
    text = " ".join(DOCUMENT.split())
    assert f"{took['p50_us']} us of processor time at the median, {took['p99_us']} us at" in text
    assert f"{took['long_text_p50_us']} us for 100,000 characters" in text
    assert f"in {flips['0']}, flips once in {flips['1']}, twice in {flips['2']}." in text


def test_every_reason_stands_in_the_document_with_its_sentence_and_weight() -> None:
    for name, sentence in REASONS.items():
        weight = load_weights().weights[name]
        assert f"| `{name}` | {sentence} | {weight:+.1f} |" in DOCUMENT


def test_the_example_of_the_document_is_what_is_decided() -> None:
    [example] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    asked = re.search(r'"([^"]+)" with no tools', DOCUMENT)
    assert asked is not None
    assert json.loads(example) == json.loads(json.dumps(asdict(decide(asked[1]))))
