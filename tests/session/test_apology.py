"""What is said when an answer fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coda_voice_plugin import AudioError, EngineError, EngineMissingError
from coda_voice_plugin.errors import EngineDownError
from coda_voice_plugin.session.apology import APOLOGIES, ELSEWHERE, REST_LOST, apology
from coda_voice_plugin.speakable import speakable, spoken_text

SENTENCES = [*APOLOGIES.values(), ELSEWHERE, REST_LOST]


def kinds(base: type[EngineError]) -> Iterator[type[EngineError]]:
    yield base
    for kind in base.__subclasses__():
        if kind.__module__ == "coda_voice_plugin.errors":
            yield from kinds(kind)


def test_every_engine_error_has_a_sentence_of_its_own() -> None:
    assert {kind.code for kind in kinds(EngineError)} == APOLOGIES.keys()
    assert len(set(SENTENCES)) == len(SENTENCES)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_short_and_can_be_said_as_it_is(sentence: str) -> None:
    assert len(sentence.split()) <= 14
    assert spoken_text(speakable(sentence, "en")) == sentence


def test_the_error_of_the_mind_is_named() -> None:
    down = EngineDownError("ollama", "cannot talk to the server.")
    assert apology(down, "ollama", begun=False) == APOLOGIES["engine_down"]


def test_the_model_beside_the_name_of_the_mind_does_not_matter() -> None:
    for name, label in (("ollama", "ollama qwen3:8b"), ("ollama qwen3:8b", "ollama")):
        assert apology(EngineError(name, "?"), label, begun=False) == APOLOGIES["engine"]


def test_an_unknown_error_of_the_mind_has_the_common_sentence() -> None:
    class NewError(EngineError):
        code = "engine_new"

    assert apology(NewError("ollama", "?"), "ollama", begun=False) == APOLOGIES["engine"]


def test_what_was_not_the_mind_does_not_blame_it() -> None:
    for error in (EngineMissingError("hibari", "hibari-tts", "cpu"), AudioError("no sound.")):
        assert apology(error, "ollama", begun=False) == ELSEWHERE


def test_an_answer_that_began_only_lacks_its_rest() -> None:
    down = EngineDownError("ollama", "cannot talk to the server.")
    assert apology(down, "ollama", begun=True) == REST_LOST


def test_texts_of_the_user_go_first_and_may_be_silent() -> None:
    down = EngineDownError("ollama", "cannot talk to the server.")
    other = EngineError("ollama", "failed.")
    texts = {"engine_down": "", "engine": "Entschuldigung.", "rest_lost": "Ende."}
    assert apology(down, "ollama", begun=False, texts=texts) == ""
    assert apology(other, "ollama", begun=False, texts=texts) == "Entschuldigung."
    assert apology(other, "ollama", begun=True, texts=texts) == "Ende."
