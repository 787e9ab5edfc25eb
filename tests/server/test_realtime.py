"""OpenAI's Realtime API over real sockets, with scripted engines."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest
from realtime_caller import (
    RATE,
    VAD,
    WEATHER,
    Caller,
    Served,
    calling,
    message,
    refusal,
    served,
    silence,
    speech,
)
from scripted import WORD_S

from coda_voice_plugin import EngineError
from coda_voice_plugin.strategies.echo import EchoStrategy
from coda_voice_plugin.wire.realtime.audio import read_sound, write_sound

COUNT = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."
HEARS = {"transcription": {"model": "whisper-1"}, "turn_detection": VAD}
MANUAL = {"transcription": {"model": "whisper-1"}, "turn_detection": None}


async def sounding(caller: Caller, seconds: float = 0.6) -> None:
    """Wait until so much of an answer has come, and its first words."""
    await caller.hear("response.output_audio_transcript.delta")
    while len(caller.sound) < 2 * seconds * RATE:
        await caller.hear("response.output_audio.delta")


async def remembered(server: Served) -> Any:
    """The last turn, once the calls are over."""
    await server.emptied()
    return server.world.store.turns_kept[-1]


async def test_a_response_has_its_events_in_order() -> None:
    async with served([["It is noon."]]) as server, calling(server) as caller:
        await caller.write("What is the time?", metadata={"topic": "time"})
        response = await caller.answer()
    kinds = caller.kinds
    order = [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert [kind for kind in kinds if not kind.endswith(".delta")] == order
    assert response["metadata"] == {"topic": "time"}
    assert len({event["event_id"] for event in caller.events}) == len(kinds)
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


async def test_sound_comes_at_the_speed_at_which_it_is_heard() -> None:
    async with served([[COUNT]]) as server, calling(server) as caller:
        await caller.write("Count.")
        await caller.hear("response.output_audio.delta")
        began = asyncio.get_running_loop().time()
        await caller.answer()
        took = asyncio.get_running_loop().time() - began
    assert took > 14 * WORD_S - 0.5


async def test_speech_interrupts_an_answer() -> None:
    script, hears = [[COUNT], ["Yes."]], ["stop that please"]
    async with served(script, hears) as server, calling(server) as caller:
        await caller.settle(audio={"input": HEARS})
        await caller.write("Count.")
        await sounding(caller)
        await caller.append(speech())
        cut = await caller.answer()
        assert cut["status"] == "cancelled"
        assert cut["status_details"]["reason"] == "turn_detected"
        assert caller.kinds.index("input_audio_buffer.speech_started") < len(caller.kinds) - 1
        truncated = await caller.hear("conversation.item.truncated")
        assert truncated["item_id"] == cut["output"][0]["id"]
        assert 0 < truncated["audio_end_ms"] < 14 * 1000 * WORD_S
        assert (await caller.answer())["status"] == "completed"
        (words,) = caller.of("conversation.item.input_audio_transcription.completed")
        assert words["transcript"] == "stop that please"
    await server.emptied()
    heard = server.world.store.turns_kept[0].assistant
    assert COUNT.startswith(heard)
    assert server.asked[1][1:] == [
        ("user", "Count."),
        ("assistant", f"{heard} —"),
        ("user", "stop that please"),
    ]


async def test_a_back_channel_does_not_cost_the_rest_of_an_answer() -> None:
    turn = {"barge_in_ms": 64, "interrupt_ms": 4_000}
    async with served([[COUNT]], ["mm-hmm"], turn=turn) as server, calling(server) as caller:
        await caller.settle(audio={"input": HEARS})
        await caller.write("Count.")
        await sounding(caller)
        await caller.append(speech())
        response = await caller.answer()
        assert response["status"] == "completed"
        assert response["output"][0]["content"][0]["transcript"] == COUNT
        assert "input_audio_buffer.speech_started" not in caller.kinds


async def test_the_client_says_what_was_heard() -> None:
    async with served([[COUNT], ["Yes."]]) as server, calling(server) as caller:
        await caller.write("Count.")
        await sounding(caller, 1.0)
        item_id = caller.of("response.output_item.added")[0]["item"]["id"]
        place = {"item_id": item_id, "content_index": 0}
        await caller.say("conversation.item.truncate", **place, audio_end_ms=90_000)
        assert await refusal(caller) == ("invalid_value", "audio_end_ms")
        await caller.say("conversation.item.truncate", **place, audio_end_ms=500)
        cut = await caller.answer()
        assert cut["status_details"]["reason"] == "client_cancelled"
        await caller.hear("conversation.item.truncated")
        await caller.say("conversation.item.retrieve", item_id=item_id)
        item = (await caller.hear("conversation.item.retrieved"))["item"]
        assert item["content"][0]["transcript"] == "One two"
        await caller.write("And then?")
        await caller.answer()
    assert server.asked[1][2] == ("assistant", "One two")
    turn = server.world.store.turns_kept[0]
    assert turn.interrupted
    assert turn.heard_ms == pytest.approx(500, abs=1)


async def test_what_the_client_has_heard_is_stored() -> None:
    """Even where it is more than we would have thought."""
    async with served([[COUNT]]) as server, calling(server) as caller:
        await caller.write("Count.")
        await sounding(caller, 1.0)
        item_id = caller.of("response.output_item.added")[0]["item"]["id"]
        ms = 1000 * len(caller.sound) // (2 * RATE)
        place = {"item_id": item_id, "content_index": 0}
        await caller.say("conversation.item.truncate", **place, audio_end_ms=ms)
        await caller.hear("conversation.item.truncated")
    turn = await remembered(server)
    assert turn.heard_ms == pytest.approx(ms, abs=1)


async def test_a_late_truncation_changes_what_the_mind_reads() -> None:
    script, hears = [["One two three."], ["Yes."]], ["and then"]
    async with served(script, hears) as server, calling(server) as caller:
        await caller.settle(audio={"input": HEARS})
        await caller.write("Count.")
        response = await caller.answer()
        async with asyncio.timeout(30):
            while not server.world.store.turns_kept:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        place = {"item_id": response["output"][0]["id"], "content_index": 0}
        await caller.say("conversation.item.truncate", **place, audio_end_ms=300)
        await caller.hear("conversation.item.truncated")
        await caller.append(speech())
        await caller.answer()
    assert server.asked[1][1:-1] == [("user", "Count."), ("assistant", "One")]


async def test_who_hangs_up_has_heard_what_was_played() -> None:
    async with served([[COUNT]]) as server, calling(server) as caller:
        await caller.write("Count.")
        await sounding(caller, 1.5)
    turn = await remembered(server)
    assert turn.heard_ms >= 1_200, "all but the lead"
    assert turn.assistant.startswith("One two three")


async def test_nothing_is_answered_before_it_is_asked_for() -> None:
    detection = {**VAD, "create_response": False}
    async with served([["Yes."]], ["is it so"]) as server, calling(server) as caller:
        await caller.settle(audio={"input": {**HEARS, "turn_detection": detection}})
        await caller.append(speech())
        await caller.hear("conversation.item.input_audio_transcription.completed")
        await caller.append(silence(0.5))
        await caller.say("conversation.item.create", item=message("Be brief.", "system"))
        await caller.hear("conversation.item.done")
        assert "response.created" not in caller.kinds
        await caller.say("response.create")
        await caller.answer()
    (asked,) = server.asked
    assert asked[1:] == [("user", "is it so"), ("system", "Be brief.")]


async def test_speech_that_may_not_interrupt_is_kept() -> None:
    detection = {**VAD, "interrupt_response": False}
    async with served([[COUNT], ["Yes."]], ["wait a moment"]) as server, calling(server) as caller:
        await caller.settle(audio={"input": {**HEARS, "turn_detection": detection}})
        await caller.write("Count.")
        await sounding(caller)
        await caller.append(speech())
        await caller.hear("conversation.item.input_audio_transcription.completed")
        assert (await caller.answer())["status"] == "completed"
        await caller.say("response.create")
        await caller.answer()
    assert server.asked[1][-1] == ("user", "wait a moment")


async def test_the_client_can_end_the_turns_itself() -> None:
    async with served([["Yes."]], ["forget that", "go on"]) as server, calling(server) as caller:
        await caller.settle(audio={"input": MANUAL})
        await caller.say("input_audio_buffer.commit")
        assert await refusal(caller) == ("input_audio_buffer_commit_empty", None)
        await caller.append(speech())
        await caller.say("input_audio_buffer.clear")
        await caller.hear("input_audio_buffer.cleared")
        await caller.append(speech())
        await caller.say("input_audio_buffer.commit")
        await caller.say("response.create")
        await caller.answer()
        (words,) = caller.of("conversation.item.input_audio_transcription.completed")
        assert words["transcript"] == "go on"
    assert server.asked[0][1:] == [("user", "go on")]


async def test_turns_of_the_client_are_no_turns_of_the_server() -> None:
    async with served() as server, calling(server) as caller:
        await caller.append(silence(0.2))
        await caller.say("input_audio_buffer.commit")
        param = "session.audio.input.turn_detection"
        assert await refusal(caller) == ("not_supported", param)
        await caller.settle(audio={"input": MANUAL})
        await caller.append(silence(0.2))
        await caller.say("input_audio_buffer.commit")
        await caller.hear("input_audio_buffer.committed")


async def test_a_telephone_is_heard_and_answered() -> None:
    async with served([["Yes."]], ["hello there"]) as server, calling(server) as caller:
        form = {"type": "audio/pcmu"}
        microphone = {**HEARS, "format": form}
        await caller.settle(
            audio={"input": microphone, "output": {"format": {"type": "audio/pcma"}}}
        )
        samples = np.frombuffer(speech(), "<i2")[::3]  # 8 kHz; aliases do no harm here
        for first in range(0, len(samples), 160):
            audio = write_sound(samples[first : first + 160].tobytes(), "audio/pcmu")
            await caller.say("input_audio_buffer.append", audio=audio)
        await caller.answer()
        codes = base64.b64encode(caller.sound).decode()
        pcm = np.frombuffer(read_sound(codes, "audio/pcma"), "<i2")
        assert len(pcm) == pytest.approx(WORD_S * 8_000, abs=2)
        assert np.abs(pcm.astype(int)).max() > 3_000
        await caller.say(
            "session.update",
            session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm"}}}},
        )
        assert await refusal(caller) == ("not_supported", "session.audio.input.format")


async def test_a_mind_that_fails_fails_the_response() -> None:
    async with served(trouble={"spoken": False}) as server, calling(server) as caller:
        server.world.llm.failures, server.world.llm.fail_after = 1, 0
        await caller.write("What now?")
        response = await caller.answer()
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["code"] == "engine"
        await caller.write("And now?")
        assert (await caller.answer())["status"] == "completed"


async def test_an_ear_that_fails_says_so() -> None:
    async with served(strategy=None) as server, calling(server) as caller:
        stt = server.world.host.stt
        listen = stt.listen

        def broken() -> Any:
            recognition = listen()

            async def text(*, final: bool) -> str:
                raise EngineError("ear", "broke.")

            recognition.text = text  # type: ignore[method-assign]
            return recognition

        stt.listen = broken  # type: ignore[method-assign]
        await caller.settle(audio={"input": MANUAL})
        await caller.append(speech())
        await caller.say("input_audio_buffer.commit")
        failed = await caller.hear("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == "engine"


async def test_an_ear_without_a_place_ends_nothing() -> None:
    async with served() as server, calling(server) as caller:

        def full() -> Any:
            raise EngineError("ear", "has no place.")

        server.world.host.stt.listen = full  # type: ignore[method-assign]
        await caller.settle(audio={"input": MANUAL})
        await caller.append(silence(0.02))
        assert await refusal(caller) == ("engine", None)
        await caller.settle(instructions="Be brief.")


async def test_what_cannot_be_done_is_refused_and_the_session_goes_on() -> None:
    async with served([[COUNT]]) as server, calling(server) as caller:
        await caller.say("response.cancel")
        assert await refusal(caller) == ("response_cancel_not_active", "response_id")
        await caller.write("Count.")
        await sounding(caller, 0.1)
        await caller.say("response.create")
        assert (await refusal(caller))[0] == "conversation_already_has_active_response"
        await caller.say("response.cancel")
        assert (await caller.answer())["status"] == "cancelled"
        await caller.say("response.create", response={"conversation": "none"})
        assert await refusal(caller) == ("not_supported", "response.conversation")
        await caller.say("session.update", session={"type": "realtime", "tracing": "auto"})
        assert await refusal(caller) == ("not_supported", "session.tracing")
        await caller.settle(instructions="Be brief.")


@pytest.mark.parametrize("first", [True, False])
async def test_a_strategy_that_listens_itself_is_not_asked(first: bool) -> None:
    async with served(strategy=EchoStrategy()) as server, calling(server) as caller:
        if not first:
            await caller.append(silence(0.1))
        for session, param in (
            ({"tools": [WEATHER]}, "session.tools"),
            ({"output_modalities": ["text"]}, "session.output_modalities"),
        ):
            await caller.say("session.update", session={"type": "realtime", **session})
            assert await refusal(caller) == ("not_supported", param)
        await caller.say("response.create")
        assert await refusal(caller) == ("not_supported", None)


async def test_an_echo_is_heard_as_a_response() -> None:
    async with served(strategy=EchoStrategy()) as server, calling(server) as caller:
        await caller.append(speech(), live=True)
        await caller.hear("response.created")
        while len(caller.sound) < RATE:
            await caller.hear("response.output_audio.delta")
