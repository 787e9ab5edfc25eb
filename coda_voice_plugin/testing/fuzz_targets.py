"""What the fuzzing aims at: every reader of messages from outside, with messages that it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import events as e
from ..errors import EngineMissingError, WireError
from ..wire import (
    kyutai,
    moshi,
    realtime,
    voice,
    voice_client,
)
from ..wire.realtime import audio as sound
from ..wire.realtime import items, session

RATE = 24_000
MOST_BYTES = 262_144
"""Size of a message at most: larger ones no socket lets in (``server.max_message_bytes``)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader: ``read`` takes a message or raises one of ``refusals``, and nothing else."""

    name: str
    seeds: Sequence[str | bytes]
    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...] = (WireError,)
    share: int = 10
    """How often it is tried, compared with the others."""


CLIENT_SEEDS: list[e.ClientEvent] = [
    e.Hello(),
    e.Hello(48_000, True, "kitchen-1", True, "token", 47, "opus", ("opus", "pcm16"), ("caption",)),
    e.AudioFrame(bytes(range(64))),
    e.Played(3, 48_000, True),
    e.Stop(),
    e.Typed("What is the time?"),
    e.TalkKey(True),
    e.UseModel("qwen3:8b"),
    e.UseMode("turn_based"),
    e.Mute(True),
    e.Subscribe(("caption", "turn")),
    e.Subscribe(None),
    e.Ping(17, 41.5),
]
SERVER_SEEDS: list[e.ServerEvent] = [
    e.SessionReady("7f3a", "ollama", "moonshine", "hibari", "llamacpp", 48_000, RATE, "t", 30.0),
    e.UserSpeech(True),
    e.UserText("what is", False),
    e.StateChanged("thinking"),
    e.Caption(3, (e.Word("It", 0, 4_800), e.Word("is", 4_800, 9_600))),
    e.Speech(3, e.AudioFrame(bytes(range(64)), RATE, 960)),
    e.SpeechEnd(3, 96_000),
    e.Held(3, True),
    e.Flush(3),
    e.TurnEnded(e.Turn(3, "what", "It is", "It is noon.", timings_ms={"stt": 236.5})),
    e.Problem("busy", "all places are taken.", True),
    e.Notice("tool_call", {"name": "clock", "arguments": {"zone": None, "at": [1, 2.5]}}),
    e.Stage(3, "llm_first_token", 402.0),
    e.Pong(17, 5_120),
]


def targets() -> list[Target]:
    """All readers, but for those whose packages are not installed."""
    found = [
        Target("voice, client", [voice_client.encode(each) for each in CLIENT_SEEDS], _client),
        Target("voice, server", [voice.encode(each) for each in SERVER_SEEDS], _server),
        Target("moshi", _MOSHI, moshi.Decoder().read),
        Target("realtime", [json.dumps(each) for each in _REALTIME], _realtime, _REFUSALS),
    ]
    for more in (_kyutai, _opus):
        try:
            found += more()
        except EngineMissingError:
            continue
    return found


def _client(message: str | bytes) -> None:
    """What is taken is written again as what it was."""
    event = voice.decode(message, RATE)
    assert voice.decode(voice_client.encode(event), RATE) == event


def _server(message: str | bytes) -> None:
    event = voice_client.decode(message, RATE)
    assert voice_client.decode(voice.encode(event), RATE) == event


_MOSHI = [
    moshi.encode(moshi.Handshake()),
    moshi.encode(moshi.Sound(bytes(range(40)))),
    moshi.encode(moshi.Text(" hello")),
    moshi.encode(moshi.Failure("no free places")),
    bytes([moshi.CONTROL, 0]),
    bytes([moshi.METADATA]) + b'{"a":1}',
]


def _kyutai() -> list[Target]:
    sound = np.linspace(-1, 1, 24, dtype=np.float32)
    shared: list[kyutai.Message] = [kyutai.Audio(sound), kyutai.OggOpus(b"OggS"), kyutai.Marker(4)]
    asked: list[kyutai.Message] = [*shared, kyutai.Init(), kyutai.Text("hello"), kyutai.Eos()]
    told: list[kyutai.Message] = [
        *shared,
        kyutai.Ready(),
        kyutai.HeardWord("hello", 1.5),
        kyutai.WordEnd(2.0),
        kyutai.Step(7, (0.1, 0.2, 0.9), 1_920),
        kyutai.Failure("no free channels"),
        kyutai.SpokenWord("hello", 0.5, 0.9),
    ]
    asked.append(kyutai.Voice(sound, (2, 12)))
    to_server, from_server = list(map(kyutai.encode, asked)), list(map(kyutai.encode, told))
    return [
        Target("kyutai, to the recogniser", to_server, kyutai.stt_requests().read, share=3),
        Target("kyutai, from the recogniser", from_server, kyutai.stt_events().read, share=3),
        Target("kyutai, to the voice", to_server, kyutai.tts_requests().read, share=3),
        Target("kyutai, from the voice", from_server, kyutai.tts_events().read, share=3),
    ]


def _opus() -> list[Target]:
    from ..wire.voice_opus import MicPackets, MicSound, SpeechPackets, SpeechSound

    pcm = np.random.default_rng(1).integers(-9_000, 9_000, 4_800).astype("<i2").tobytes()
    packets = SpeechPackets(RATE).write(e.Speech(1, e.AudioFrame(pcm, RATE)))
    mic = MicPackets().write(e.AudioFrame(pcm, 48_000))
    return [
        Target("opus, client", mic, MicSound().read, share=1),
        Target("opus, server", [sent.message for sent in packets], SpeechSound(RATE).read, share=1),
    ]


_REFUSALS = (realtime.Refusal,)
_TOOL = {"type": "function", "name": "clock", "parameters": {"type": "object"}}
_MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
_CALL = {"type": "function_call", "name": "clock", "call_id": "c1", "arguments": '{"zone": "UTC"}'}
_TURNS = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}
_SESSION = {
    "type": "realtime",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "tools": [_TOOL],
    "tool_choice": "auto",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "turn_detection": _TURNS,
            "transcription": {"model": "whisper-1"},
            "noise_reduction": {"type": "near_field"},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.0},
    },
}
_REALTIME: list[dict[str, Any]] = [
    {"type": "session.update", "event_id": "e1", "session": _SESSION},
    {"type": "input_audio_buffer.append", "audio": "AAECAw=="},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.create", "previous_item_id": "root", "item": _MESSAGE},
    {"type": "conversation.item.create", "item": _CALL},
    {"type": "conversation.item.retrieve", "item_id": "i1"},
    {"type": "conversation.item.delete", "item_id": "i1"},
    {
        "type": "conversation.item.truncate",
        "item_id": "i1",
        "content_index": 0,
        "audio_end_ms": 1_500,
    },
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "tools": [_TOOL]}},
    {"type": "response.cancel"},
]
_ANSWER = session.AnswerSettings("")


def _realtime(message: str | bytes) -> None:
    if isinstance(message, bytes):
        return  # the socket refuses it by itself
    event, _ = realtime.decode(message)
    match event:
        case realtime.SessionUpdate(part):
            settings = session.SessionSettings("s", "coda", _ANSWER)
            json.dumps(session.update_session(settings, part, "en").as_dict())
        case realtime.ItemCreate(part, _):
            json.dumps(items.read_item(part, "new").as_dict())
        case realtime.ResponseCreate(part):
            session.update_response(_ANSWER, part)
        case realtime.Append(audio):
            sound.read_sound(audio, "audio/pcm")
            sound.read_sound(audio, "audio/pcmu")
