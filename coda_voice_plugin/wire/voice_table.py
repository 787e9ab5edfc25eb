"""The messages of ``coda.voice.v1``: this table is the protocol.

``voice.py`` and ``voice_client.py`` read and write with it, ``schema.py`` makes
``docs/protocol.schema.json`` of it.
"""

from __future__ import annotations

from typing import Any, get_args

from ..events import (
    Caption,
    Coding,
    Flush,
    Held,
    Hello,
    Mode,
    Mute,
    Notice,
    Ping,
    Played,
    Pong,
    Problem,
    SessionReady,
    SpeechEnd,
    Stage,
    StateChanged,
    Stop,
    Subscribe,
    TalkKey,
    Turn,
    TurnEnded,
    Typed,
    UseMode,
    UseModel,
    UserSpeech,
    UserText,
)
from .kinds import (
    Anything,
    Choice,
    Count,
    Flag,
    Nullable,
    Number,
    Numbers,
    Several,
    SpokenWord,
    Text,
)
from .messages import Field, Form, Rule, Table

SUBPROTOCOL = "coda.voice.v1"
"""Name of this protocol in the WebSocket handshake."""
MIN_RATE, MAX_RATE = 8_000, 96_000
"""Hertz that a microphone may have."""
OPUS_RATE = 48_000
"""Hertz of a microphone that comes as Opus packets."""
MAX_TEXT = 4_000
"""Characters of one typed turn."""
MAX_NAME = 200
"""Characters of a model's name, and of a token."""
# (?!\n)$ and not $: in Python $ also matches before a newline at the end
SESSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?!\n)$"
SESSION_RULE = (
    '1 to 128 letters, digits, ".", "_" or "-", beginning with a letter or digit'
)  # fmt: skip
ALWAYS = frozenset({"audio", "ready", "pong", "problem", "flush", "hold", "speech_end"})
"""What every client is told, whatever it subscribed to."""

_CODING = Choice(get_args(Coding))
_MODE = Choice(get_args(Mode))
_FILLED = r"\S"
_TURN = Field("turn", Count(), "the reply")


def _turn_ended(**fields: Any) -> TurnEnded:
    return TurnEnded(Turn(**fields))


READY = Form(
    "ready",
    SessionReady,
    "The answer to hello: the session has begun, or goes on.",
    (
        Field("session", Text(), "name of the session in the store"),
        Field("strategy", Text(), "how the conversation is held"),
        Field("stt", Text(), "the ear; empty when the strategy has none"),
        Field("tts", Text(), "the mouth; empty when the strategy has none"),
        Field("llm", Text(), "the mind; empty when the strategy has none"),
        Field("input_rate", Count(1), "Hertz that the server takes from the client"),
        Field("output_rate", Count(1), "Hertz of all speech of this session"),
        Field("token", Nullable(Text(MAX_NAME)), "lets its bearer go on with it", None),
        Field("lease_s", Number(0), "seconds it waits after a drop; 0: no resuming", 0.0),
        Field(
            "resumed",
            Choice(("no", "live", "stored")),
            "live: it goes on where it was; stored: a new call on the stored history",
            "no",
        ),
        Field("heard", Count(), "counted messages of the client that the server has", 0),
        Field("missed", Count(), "counted messages too old to be sent again", 0),
        Field("input", _CODING, "how the microphone comes", "pcm16"),
        Field("output", _CODING, "how speech is sent", "pcm16"),
        Field("mode", _MODE, "how the two take turns", "full_duplex"),
    ),
)

TURN = Form(
    "turn",
    TurnEnded,
    "An exchange is over and stored.",
    (
        Field("index", Count(), "number of the turn, that of its reply"),
        Field("user", Text(), "what the user said"),
        Field("assistant", Text(), "the words whose sound was heard to their end"),
        Field("generated", Text(), "all words that were written for the reply"),
        Field("interrupted", Flag(), "the reply was cut off"),
        Field("error", Nullable(Text()), "code of what broke the reply, or null"),
        Field("typed", Flag(), "the user wrote instead of speaking"),
        Field("timings_ms", Numbers(), "milliseconds from the user's last speech sample"),
        Field("strategy", Text(), "how the conversation was held"),
        Field("stt", Text(), "the ear"),
        Field("llm", Text(), "the mind"),
        Field("tts", Text(), "the mouth"),
        Field("heard_ms", Number(), "length of the sound that was heard"),
        Field("spoken_ms", Number(), "length of the user's speech"),
    ),
    inside="turn",
    make=_turn_ended,
)

SERVER = Table(
    "a server",
    READY,
    Form(
        "user_speech",
        UserSpeech,
        "The user started or stopped speaking.",
        (Field("active", Flag(), "true: started"),),
    ),
    Form(
        "user_text",
        UserText,
        "What the user is saying, as a whole each time.",
        (
            Field("text", Text(), "the words of this utterance so far"),
            Field("final", Flag(), "true: they do not change any more"),
        ),
    ),
    Form(
        "state",
        StateChanged,
        "What the assistant does now.",
        (Field("state", Choice(("listening", "thinking", "speaking")), "its state"),),
    ),
    Form(
        "caption",
        Caption,
        "Further words of a reply and where they sound.",
        (_TURN, Field("words", Several(SpokenWord()), "[text, start, end], in samples")),
    ),
    Form(
        "speech_end",
        SpeechEnd,
        "All sound of a reply has been sent.",
        (_TURN, Field("samples", Count(), "its length")),
    ),
    Form(
        "hold",
        Held,
        "A reply stands still because the user speaks, or goes on.",
        (_TURN, Field("held", Flag(), "true: stand still; false: go on")),
    ),
    Form("flush", Flush, "A reply was interrupted: throw away what is not played.", (_TURN,)),
    TURN,
    Form(
        "problem",
        Problem,
        "Something failed.",
        (
            Field("code", Text(), "stable name"),
            Field("message", Text(), "what happened and what to do, fit for a person"),
            Field("fatal", Flag(), "true: the session ends"),
        ),
    ),
    Form(
        "notice",
        Notice,
        "Anything else: tools, modes, decisions. Clients skip kinds that they do not know.",
        (
            Field("kind", Text(), "what it is about"),
            Field("data", Anything(), "what there is to know"),
        ),
    ),
    Form(
        "stage",
        Stage,
        "A milestone of the running turn, as it happens.",
        (
            _TURN,
            Field("stage", Text(), "which, named as in timings_ms of turn"),
            Field("ms", Number(), "milliseconds from the user's last speech sample"),
        ),
    ),
    Form(
        "pong",
        Pong,
        "The answer to a ping.",
        (
            Field("id", Count(), "that of the ping"),
            Field("heard", Count(), "counted messages of the client that the server has"),
        ),
    ),
    whole=True,
)

EVENT_TYPES = ("audio", *SERVER.types)
"""What a client can subscribe to."""
_EVENTS = Nullable(Several(Choice(EVENT_TYPES), 0, 32))

HELLO = Form(
    "hello",
    Hello,
    "The first message: how sound will be sent, and which session goes on.",
    (
        Field("rate", Count(MIN_RATE, MAX_RATE), "Hertz of the microphone"),
        Field("reports_playback", Flag(), "the client will send played", False),
        Field(
            "session",
            Nullable(Text(None, SESSION_PATTERN, SESSION_RULE)),
            "the conversation that goes on, or the name of a new one",
            None,
        ),
        Field("resume", Flag(), "the client can come back after a drop", False),
        Field("token", Nullable(Text(MAX_NAME)), "from an earlier ready", None),
        Field("received", Nullable(Count()), "counted server messages that it has", None),
        Field("input", _CODING, "how the microphone comes", "pcm16"),
        Field("output", Several(_CODING, 1, 8), "what it can play, best first", ("pcm16",)),
        Field("events", _EVENTS, "the only types of events that it wants; null: all", None),
    ),
    (
        Rule(
            lambda found: found["token"] is None or found["session"] is not None,
            'the field "token" needs "session": which conversation it opens.',
            {
                "if": {"properties": {"token": {"type": "string"}}, "required": ["token"]},
                "then": {"properties": {"session": {"type": "string"}}, "required": ["session"]},
            },
        ),
        Rule(
            lambda found: found["input"] != "opus" or found["rate"] == OPUS_RATE,
            f'the field "rate" must be {OPUS_RATE} when "input" is opus.',
            {
                "if": {"properties": {"input": {"const": "opus"}}, "required": ["input"]},
                "then": {"properties": {"rate": {"const": OPUS_RATE}}},
            },
        ),
    ),
)

CLIENT = Table(
    "a client",
    HELLO,
    Form(
        "played",
        Played,
        "What has left the loudspeaker.",
        (
            _TURN,
            Field("samples", Count(), "samples of it that were played, from its first"),
            Field("final", Flag(), "it stopped there", False),
        ),
    ),
    Form("stop", Stop, "Stop speaking now."),
    Form(
        "text",
        Typed,
        "A user turn in writing.",
        (Field("text", Text(MAX_TEXT, _FILLED, "more than spaces"), "the words"),),
    ),
    Form(
        "talk",
        TalkKey,
        "Push-to-talk: the key went down or up.",
        (Field("down", Flag(), "true when pressed"),),
    ),
    Form(
        "model",
        UseModel,
        "Think with another language model from the next answer on.",
        (Field("model", Text(MAX_NAME, _FILLED, "more than spaces"), "its name"),),
    ),
    Form(
        "mode",
        UseMode,
        "Take turns in another way from now on, in this call.",
        (Field("mode", _MODE, "how"),),
    ),
    Form(
        "mute",
        Mute,
        "The microphone's sound counts as silence, or as sound again.",
        (Field("muted", Flag(), "true: silence"),),
    ),
    Form(
        "subscribe",
        Subscribe,
        "Tell only events of these types from now on.",
        (Field("events", _EVENTS, "their types; null: all"),),
    ),
    Form(
        "ping",
        Ping,
        "Are you there? Answered at once with pong.",
        (
            Field("id", Count(), "comes back in pong"),
            Field("rtt_ms", Nullable(Number(0)), "how long the last answer took", None),
        ),
    ),
    whole=False,
)
