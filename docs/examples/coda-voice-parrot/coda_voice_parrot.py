"""A strategy for Coda's voice that repeats what it hears."""

from coda_voice_plugin import Call, Strategy, hookimpl


class Parrot(Strategy):
    name = "parrot"
    needs = ("stt", "tts")

    async def converse(self, call: Call) -> None:
        async for utterance in call.utterances():
            async with call.reply(utterance) as reply:
                await reply.say(f"You said: {utterance.text}")


@hookimpl
def register_strategies(register):
    register(Parrot)
