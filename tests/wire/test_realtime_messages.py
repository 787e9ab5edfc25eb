"""The messages of the Realtime API: read strictly, settings and items there and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from coda_voice_plugin import Message, ToolCall
from coda_voice_plugin.wire.realtime import (
    Append,
    Clear,
    Commit,
    ItemCreate,
    ItemDelete,
    ItemRetrieve,
    ItemTruncate,
    Part,
    Refusal,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    decode,
    encode,
    error_fields,
)
from coda_voice_plugin.wire.realtime.audio import FORMATS, Format, read_sound, write_sound
from coda_voice_plugin.wire.realtime.items import Item, Items, as_messages, read_item
from coda_voice_plugin.wire.realtime.session import (
    AnswerSettings,
    SessionSettings,
    TurnDetection,
    update_response,
    update_session,
)

START = SessionSettings("sess_1", "gpt-realtime", AnswerSettings("Be kind."))


def read(kind: str, **fields: Any) -> Any:
    return decode(json.dumps({"type": kind, **fields}))[0]


def refused(kind: str, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(kind, **fields)
    return caught.value


def update(**session: Any) -> SessionSettings:
    return update_session(START, Part({"type": "realtime", **session}, "session"), "en")


def refused_update(**session: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        update(**session)
    return caught.value


def test_every_message_of_a_client_is_read() -> None:
    assert isinstance(read("session.update", session={"type": "realtime"}), SessionUpdate)
    assert read("input_audio_buffer.append", audio="AAA=") == Append("AAA=")
    assert read("input_audio_buffer.commit") == Commit()
    assert read("input_audio_buffer.clear") == Clear()
    created = read("conversation.item.create", item={"type": "message"}, previous_item_id="root")
    assert isinstance(created, ItemCreate)
    assert created.after == "root"
    assert read("conversation.item.retrieve", item_id="a") == ItemRetrieve("a")
    assert read("conversation.item.delete", item_id="a") == ItemDelete("a")
    truncate = read("conversation.item.truncate", item_id="a", content_index=0, audio_end_ms=7)
    assert truncate == ItemTruncate("a", 7)
    assert isinstance(read("response.create"), ResponseCreate)
    assert isinstance(read("response.create", response=None), ResponseCreate)
    assert read("response.cancel") == ResponseCancel(None)
    assert read("response.cancel", response_id="r") == ResponseCancel("r")


def test_a_message_keeps_the_name_that_the_client_gave_it() -> None:
    assert decode('{"type":"input_audio_buffer.commit","event_id":"mine"}')[1] == "mine"
    with pytest.raises(Refusal) as caught:
        decode('{"type":"response.cancel","event_id":"mine","response_id":1}')
    assert caught.value.event_id == "mine"


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"type":1}', '{"type":"x","a":NaN}'])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode(text)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("kind", "fields", "code", "param"),
    [
        ("session.begin", {}, "unknown_event", "type"),
        ("output_audio_buffer.clear", {}, "not_supported", "type"),
        ("response.cancel", {"event_id": 5}, "invalid_type", "event_id"),
        ("input_audio_buffer.append", {}, "missing_required_parameter", "audio"),
        ("input_audio_buffer.append", {"audio": 1}, "invalid_type", "audio"),
        ("input_audio_buffer.commit", {"now": True}, "unknown_parameter", "now"),
        ("conversation.item.create", {"item": 1}, "invalid_type", "item"),
        (
            "conversation.item.truncate",
            {"item_id": "a", "content_index": 1, "audio_end_ms": 1},
            "invalid_value",
            "content_index",
        ),
        (
            "conversation.item.truncate",
            {"item_id": "a", "content_index": 0, "audio_end_ms": -1},
            "invalid_value",
            "audio_end_ms",
        ),
    ],
)
def test_a_wrong_message_is_refused_by_code_and_field(
    kind: str, fields: dict[str, Any], code: str, param: str
) -> None:
    refusal = refused(kind, **fields)
    assert (refusal.code, refusal.param) == (code, param)


def test_settings_go_there_and_back() -> None:
    changed = update(
        instructions="Be brief.",
        output_modalities=["text"],
        audio={
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "whisper-1", "language": "en-US"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.3,
                    "create_response": False,
                },
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.25},
        },
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        tool_choice="none",
        max_output_tokens="inf",
        truncation="auto",
        tracing=None,
    )
    shown = changed.as_dict()
    assert update_session(START, Part(shown, "session"), "en") == changed
    assert shown["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert changed.answer.offered == ()


def test_the_name_of_the_model_is_only_shown() -> None:
    assert update(model="another").as_dict()["model"] == "another"


def test_what_an_update_does_not_name_stays() -> None:
    named = update(audio={"input": {"turn_detection": None}})
    assert named.turns is None
    assert named.answer == START.answer
    assert update().turns == TurnDetection()
    assert update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}}) == START


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"model": ""}, "invalid_value", "session.model"),
        ({"voice": "marin"}, "unknown_parameter", "session.voice"),
        ({"prompt": {"id": "p"}}, "not_supported", "session.prompt"),
        ({"tracing": "auto"}, "not_supported", "session.tracing"),
        ({"reasoning": {}}, "not_supported", "session.reasoning"),
        ({"include": ["x"]}, "not_supported", "session.include"),
        ({"truncation": "disabled"}, "not_supported", "session.truncation"),
        ({"parallel_tool_calls": False}, "not_supported", "session.parallel_tool_calls"),
        ({"max_output_tokens": 100}, "not_supported", "session.max_output_tokens"),
        ({"tool_choice": "required"}, "not_supported", "session.tool_choice"),
        ({"tools": [{"type": "mcp"}]}, "not_supported", "session.tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ({"instructions": 3}, "invalid_type", "session.instructions"),
        ({"audio": {"output": {"speed": 0.3}}}, "invalid_value", "session.audio.output.speed"),
        (
            {"audio": {"output": {"voice": {"id": "v"}}}},
            "not_supported",
            "session.audio.output.voice",
        ),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"input": {"transcription": {"language": "de"}}}},
            "not_supported",
            "session.audio.input.transcription.language",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1}}}},
            "not_supported",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
    ],
)
def test_a_setting_that_cannot_be_had_is_refused_by_name(
    session: dict[str, Any], code: str, param: str
) -> None:
    refusal = refused_update(**session)
    assert (refusal.code, refusal.param) == (code, param)
    assert param in refusal.message


def test_two_tools_of_one_name_are_refused() -> None:
    tool = {"type": "function", "name": "f"}
    assert refused_update(tools=[tool, tool]).param == "session.tools"


def test_one_response_may_have_settings_of_its_own() -> None:
    options = {"instructions": "Whisper.", "metadata": {"topic": "x"}, "conversation": "auto"}
    answer, metadata = update_response(START.answer, Part(options, "response"))
    assert (answer.instructions, metadata) == ("Whisper.", {"topic": "x"})
    for wrong in ({"conversation": "none"}, {"input": []}, {"metadata": {"a": 1}}):
        with pytest.raises(Refusal):
            update_response(START.answer, Part(wrong, "response"))


def test_items_go_there_and_back() -> None:
    items = [
        Item("a", "message", "system", "Be kind."),
        Item("b", "message", "user", "Hello."),
        Item("c", "message", "user", "Hello.", sound=True),
        Item("d", "message", "assistant", "Hi."),
        Item("e", "message", "assistant", "Hi.", sound=True),
        Item("f", "function_call", name="f", call_id="1", arguments="{}"),
        Item("g", "function_call_output", call_id="1", output="done"),
    ]
    for item in items:
        assert read_item(Part(item.as_dict(), "item"), "new") == item


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "message", "role": "robot", "content": []}, "item.role"),
        ({"type": "message", "role": "user", "content": []}, "item.content"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
            "item.content[0].type",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": "AAAA"}],
            },
            "item.content[0].audio",
        ),
        ({"type": "function_call", "name": "f", "arguments": "[]"}, "item.arguments"),
        ({"type": "function_call", "name": "f", "arguments": "{"}, "item.arguments"),
        ({"type": "function_call_output", "output": "x"}, "item.call_id"),
        ({"type": "mcp_call"}, "item.type"),
    ],
)
def test_an_item_that_is_not_understood_is_refused(item: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_item(Part(item, "item"), "new")
    assert caught.value.param == param


def test_a_mind_reads_the_items_but_no_unfinished_call() -> None:
    items = [
        Item("a", "message", "user", "Weather?"),
        Item("b", "function_call", name="f", call_id="1", arguments='{"x":1}'),
        Item("c", "function_call_output", call_id="1", output="sunny"),
        Item("d", "function_call", name="f", call_id="2", arguments="{}"),
        Item("e", "message", "assistant", "", sound=True),
    ]
    assert as_messages(items) == [
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("f", {"x": 1}, "1"),)),
        Message("tool", "sunny", name="f"),
    ]


def test_items_have_an_order_and_one_name_each() -> None:
    items = Items()
    assert items.add(Item("a", "message", "user", "a")) is None
    assert items.add(Item("c", "message", "user", "c")) == "a"
    assert items.add(Item("b", "message", "user", "b"), "a") == "a"
    assert items.add(Item("0", "message", "user", "0"), "root") is None
    assert [item.id for item in items] == ["0", "a", "b", "c"]
    with pytest.raises(Refusal, match="already"):
        items.add(Item("a", "message", "user", "a"))
    with pytest.raises(Refusal, match="no item"):
        items.add(Item("x", "message", "user", "a"), "y")
    items.remove(items.get("a"))
    with pytest.raises(Refusal, match="no item"):
        items.get("a")


def test_an_error_names_what_it_is_about() -> None:
    event = json.loads(encode("error", "e1", error_fields("c", "m", "p", "mine")))
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "c",
        "message": "m",
        "param": "p",
        "event_id": "mine",
    }


@pytest.mark.parametrize("form", FORMATS)
def test_sound_goes_there_and_back(form: Format) -> None:
    codes = base64.b64encode(bytes(range(256))).decode()
    assert write_sound(read_sound(codes, form), form) == codes or form == "audio/pcmu"
    loud = np.arange(-30_000, 30_000, 7, dtype="<i2")
    back = np.frombuffer(read_sound(write_sound(loud.tobytes(), form), form), "<i2")
    wrong = np.abs(back.astype(int) - loud)
    assert (wrong <= np.maximum(16, np.abs(loud.astype(int)) // 16)).all()
    assert form != "audio/pcm" or not wrong.any()


def test_telephone_sound_is_that_of_the_standard() -> None:
    """Levels and codes of G.711, from the tables of ITU-T's recommendation."""
    levels = np.array([0, 8, -8, 1000, -1000, 32767, -32768], "<i2").tobytes()
    assert base64.b64decode(write_sound(levels, "audio/pcmu")).hex() == "fffe7ece4e8000"
    assert base64.b64decode(write_sound(levels, "audio/pcma")).hex() == "d5d555fa7aaa2a"
    silence = base64.b64encode(b"\xff\x7f").decode()
    assert read_sound(silence, "audio/pcmu") == bytes(4)


@pytest.mark.parametrize("audio", ["!", "AAA", "AAAA"])
def test_sound_that_is_none_is_refused(audio: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_sound(audio, "audio/pcm")
    assert caught.value.param == "audio"
