"""A conversation in writing: no microphone, no model."""

import asyncio
from types import SimpleNamespace

from coda_voice_parrot import Parrot


class Reply:
    def __init__(self, said):
        self.say = said

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return False


def test_it_says_what_it_heard():
    said = []

    async def say(text):
        said.append(text)

    async def utterances():
        yield SimpleNamespace(text="Good morning.")
        yield SimpleNamespace(text="Are you a parrot?")

    call = SimpleNamespace(utterances=utterances, reply=lambda utterance: Reply(say))
    asyncio.run(Parrot().converse(call))
    assert said == ["You said: Good morning.", "You said: Are you a parrot?"]
