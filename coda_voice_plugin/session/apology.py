"""What is said when an answer fails: that it failed, and nothing else.

A user who cannot see the screen must not be left in silence. The sentence never
stands in for an answer; the client is told the error itself as a ``Problem``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import EngineError, VoiceError

APOLOGIES: Mapping[str, str] = {
    "engine_down": "Sorry, I cannot think right now: the model server does not answer.",
    "engine_timeout": "Sorry, I cannot think right now: the model takes too long.",
    "engine_garbled": "Sorry, I cannot think right now: I do not understand the model server.",
    "engine_missing": "Sorry, I cannot think right now: a part of me is not installed.",
    "model_missing": "Sorry, I cannot think right now: my model is not installed.",
    "model_too_big": "Sorry, I cannot think right now: my model does not fit into memory.",
    "wrong_model": "Sorry, I cannot think right now: my model is of the wrong kind.",
    "no_device": "Sorry, I cannot think right now: I miss my graphics card.",
    "context_overflow": "Sorry, this conversation has become too long for me.",
    "answer_broken": "Sorry, my answer broke off before it began. Please ask again.",
    "engine": "Sorry, something failed, and I have no answer.",
}
"""What is said when a mind has failed before a word was spoken, by the code of the error."""
ELSEWHERE = "Sorry, something in me failed. Please say that again."
"""It was not the mind that failed."""
REST_LOST = "Sorry, the rest of my answer is lost."
"""Some of the answer had been spoken."""


def apology(
    error: VoiceError, mind: str, *, begun: bool, texts: Mapping[str, str] | None = None
) -> str:
    """The sentence to say; "" when there is none.

    ``mind`` is the label of the engine that thinks (``host.label("llm")``), ``begun``
    whether some of its answer was given to the voice. ``texts`` by code go before our
    own (``rest_lost`` and ``elsewhere`` are codes too); an empty one keeps silent.
    """
    texts = texts or {}
    if begun:
        return texts.get("rest_lost", REST_LOST)
    # a label is the engine's name and its model; "auto" shows who really thinks
    if not isinstance(error, EngineError) or error.engine.split()[:1] != mind.split()[:1]:
        return texts.get("elsewhere", ELSEWHERE)
    if error.code in texts:
        return texts[error.code]
    return APOLOGIES.get(error.code) or texts.get("engine", APOLOGIES["engine"])


def engine_failure(error: BaseException | None) -> VoiceError | None:
    """The typed error that ended a block, also out of the block's own task group."""
    if isinstance(error, VoiceError):
        return error
    if isinstance(error, ExceptionGroup):
        inner = [engine_failure(each) for each in error.exceptions]
        return inner[0] if all(inner) else None
    return None
