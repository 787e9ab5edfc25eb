"""A long text given at once, and an early interruption."""

from __future__ import annotations

import asyncio

from virtual import run_virtual
from world import Listener, User, World

from coda_voice_plugin import Call, Strategy
from coda_voice_plugin.events import Stop, TurnEnded

TEXT = " ".join(f"word{n}" for n in range(45)) + "."


class Reciter(Strategy):
    name = "reciter"
    needs = ("stt", "tts")

    async def converse(self, call: Call) -> None:
        async for utterance in call.utterances():
            async with call.reply(utterance) as reply:
                await reply.say(TEXT)
                await reply.say("And more.")


def test_who_interrupts_a_long_text_early_is_remembered_to_have_heard_its_beginning() -> None:
    world = World(Reciter())
    listener = Listener()

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            user = User(session)
            await user.speak(2)
            await user.silence(4)
            user.does(Stop())
            await user.silence(1)
            session.close()

    run_virtual(run())
    (turn,) = [event.turn for event in listener.of(TurnEnded)]
    assert turn.interrupted
    assert turn.heard_ms > 1_000
    heard = turn.assistant.split()
    assert heard
    assert heard == TEXT.split()[: len(heard)]
    assert len(world.tts.spoken) == 1  # what would come later waits for room
