"""Functions, settings of one response, and a conversation that its client edits."""

from __future__ import annotations

import json

from realtime_caller import WEATHER, calling, message, refusal, served

from coda_voice_plugin import ToolCall


async def test_several_functions_run_at_once() -> None:
    wishes = [ToolCall("weather", {"city": city}) for city in ("Rome", "Oslo")]
    async with served([wishes, ["Sunny and cold."]]) as server, calling(server) as caller:
        await caller.settle(tools=[WEATHER])
        await caller.write("Weather?")
        calls = (await caller.answer())["output"]
        assert [json.loads(each["arguments"])["city"] for each in calls] == ["Rome", "Oslo"]
        await caller.say("response.create")
        assert (await refusal(caller))[0] == "function_call_output_missing"
        for each, result in zip(calls, ("sunny", "cold"), strict=True):
            item = {"type": "function_call_output", "call_id": each["call_id"], "output": result}
            await caller.say("conversation.item.create", item=item)
        await caller.say("response.create")
        response = await caller.answer()
        assert response["output"][0]["content"][0]["transcript"] == "Sunny and cold."
    assert server.asked[1][-2:] == [("tool", "sunny"), ("tool", "cold")]


async def test_a_function_whose_answer_was_cut_still_has_a_result() -> None:
    wish = ToolCall("weather", {"city": "Rome"})
    async with served([[wish], ["Sunny."]]) as server, calling(server) as caller:
        await caller.settle(tools=[WEATHER])
        await caller.write("Weather?")
        (call,) = (await caller.answer())["output"]
        await caller.write("Never mind, tell me later.")
        assert (await refusal(caller))[0] == "function_call_output_missing"
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        await caller.say("conversation.item.create", item=result)
        await caller.say("response.create")
        await caller.answer()
        await caller.settle(tools=[])
        await caller.write("Thanks.")
        await caller.answer()
        await caller.say("conversation.item.create", item={**result, "call_id": "other"})
        assert await refusal(caller) == ("item_not_found", "item.call_id")


async def test_one_response_has_settings_of_its_own() -> None:
    async with served([["**Aha.**"], ["Oho."]]) as server, calling(server) as caller:
        await caller.settle(instructions="Be kind.")
        await caller.write("One.", instructions="Be rude.", output_modalities=["text"])
        response = await caller.answer()
        assert response["output"][0]["content"] == [{"type": "output_text", "text": "**Aha.**"}]
        assert not caller.sound
        await caller.write("Two.")
        await caller.answer()
        assert caller.sound
    assert [asked[0][1] for asked in server.asked] == ["Be rude.", "Be kind."]


async def test_the_client_edits_the_conversation() -> None:
    async with served([["Yes."], ["No."]]) as server, calling(server) as caller:
        await caller.say("conversation.item.create", item=message("Two.", "assistant", id="b"))
        first = {"item": message("One.", id="a"), "previous_item_id": "root"}
        await caller.say("conversation.item.create", **first)
        await caller.write("Three.")
        await caller.answer()
        await caller.say("conversation.item.delete", item_id="a")
        await caller.hear("conversation.item.deleted")
        await caller.say("conversation.item.retrieve", item_id="a")
        assert await refusal(caller) == ("item_not_found", "item_id")
        await caller.write("Four.")
        await caller.answer()
    assert server.asked[0][1:] == [("user", "One."), ("assistant", "Two."), ("user", "Three.")]
    assert [text for _, text in server.asked[1][1:]] == ["Two.", "Three.", "Yes.", "Four."]


async def test_a_response_without_a_question_goes_on_from_the_conversation() -> None:
    async with served([["Hello."]]) as server, calling(server) as caller:
        await caller.say("response.create", response={"instructions": "Greet the user."})
        assert (await caller.answer())["status"] == "completed"
    assert server.asked == [[("system", "Greet the user.")]]
