"""Small talk for Moshi, questions for the language model: whole calls on the virtual clock."""

from __future__ import annotations

from typing import Any

import pytest
from hybrid_scene import Call, ScriptedHybrid, asking, play

from coda_voice_plugin import ConfigError, EngineDownError, Tool, hookimpl
from coda_voice_plugin.strategies.adaptive import AdaptiveVoiceProcessor
from coda_voice_plugin.testing import User, run_virtual

GREETING = ["hi", "how", "are", "you", "today", "my", "friend"]
QUESTION = ["what", "is", "the", "capital", "of", "France"]


class Scripted(ScriptedHybrid, AdaptiveVoiceProcessor):
    """The strategy with a model that is written down."""


def talk(*sentences: list[str], pause: float = 13.0, **options: Any) -> Call:
    words = [word for sentence in sentences for word in sentence]

    async def scene(user: User, call: Call) -> None:
        for sentence in sentences:
            await user.speak(len(sentence))
            await user.silence(pause)

    options.setdefault("strategy", Scripted)
    return play(scene, words=words, **options)


def decisions(call: Call) -> list[tuple[str, str | None]]:
    return [(each["mode"], each["forced"]) for each in call.notices("decision")]


def modes(call: Call) -> list[str]:
    return [each["mode"] for each in call.notices("answered")]


def test_moshi_answers_small_talk_alone_and_the_mind_is_not_heard() -> None:
    call = talk(GREETING)
    assert decisions(call) == [("moshi", None)]
    assert modes(call) == ["moshi"]
    assert call.said() == [(" ".join(GREETING), "well i am fine thanks")]
    assert call.world.tts.spoken == []


def test_a_question_goes_to_the_language_model_behind_an_opener() -> None:
    call = talk(QUESTION)
    assert decisions(call) == [("hybrid", None)]
    assert modes(call) == ["hybrid"]
    assert call.turns()[0].assistant.split()[-1] == "a1x11."


def test_each_decision_is_told_with_its_reasons() -> None:
    call = talk(QUESTION)
    (told,) = call.notices("decision")
    assert told["turn"] == 1
    assert told["probability"] >= told["threshold"]
    assert told["reasons"]
    assert len(told["pulls"]) == len(told["reasons"])


def test_turns_are_decided_one_by_one_in_one_history() -> None:
    call = talk(GREETING, QUESTION)
    assert modes(call) == ["moshi", "hybrid"]
    asked = [message.content for message in call.llm.asked[-1]]
    assert " ".join(GREETING) in asked, "what Moshi was told is history for the mind too"
    assert "well i am fine thanks" in asked
    assert call.notices("fallback") == [], "a choice is no failure"


@pytest.mark.parametrize("prefer", ["moshi", "hybrid"])
def test_the_users_preference_fixes_who_answers(prefer: str) -> None:
    call = talk(GREETING, QUESTION, adaptive={"prefer": prefer})
    assert modes(call) == [prefer, prefer]
    assert decisions(call) == [(prefer, "prefer")] * 2


def test_what_a_tool_covers_is_not_for_moshi() -> None:
    class Plugin:
        @hookimpl
        def reply_tools(self) -> list[Tool]:
            async def run(arguments: object) -> str:
                return "done"

            return [Tool("feelings_diary", "Writes how my friend felt today.", {}, run)]

    def offer(call: Call) -> None:
        call.world.host.plugins.add(Plugin(), "diary")

    without = talk(GREETING).notices("decision")[0]["probability"]

    async def scene(user: User, call: Call) -> None:
        await user.speak(len(GREETING))
        await user.silence(8)

    from hybrid_scene import hold, world_of

    world, strategy = world_of(words=GREETING, strategy=Scripted)
    world.host.plugins.add(Plugin(), "diary")

    async def run() -> Call:
        async with strategy.open(world.host):
            return await hold(world, strategy, scene, reports=False)

    call = run_virtual(run())
    assert call.notices("decision")[0]["probability"] > without


def test_without_the_language_model_moshi_answers_and_says_so_once() -> None:
    def breaks(call: Call) -> None:
        call.llm.failures, call.llm.fail_after = 1_000, 0

    async def scene(user: User, call: Call) -> None:
        breaks(call)
        for sentence in (QUESTION, QUESTION):
            await user.speak(len(sentence))
            await user.silence(9)

    call = play(scene, words=[*QUESTION, *QUESTION], strategy=Scripted)
    assert modes(call) == ["moshi", "moshi"]
    assert [each["way"] for each in call.notices("answered")] == ["", ""]
    assert decisions(call)[1] == ("moshi", "llm_down")
    said = [assistant for _, assistant in call.said()]
    assert said[0].startswith("I can't look things up")
    assert said[1] == "well i am fine thanks"


def test_without_moshi_the_chain_answers_whatever_was_said() -> None:
    call = talk(GREETING, missing=EngineDownError("moshi", "is not there."))
    assert modes(call) == ["ollama"]
    assert decisions(call) == [("hybrid", "moshi_down")]


def test_a_bad_weights_file_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"adaptive\.weights"):
        play(asking(1), strategy=Scripted, adaptive={"weights": "/nowhere.json"})
