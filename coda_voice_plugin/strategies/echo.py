"""Speak back what is heard: to test a microphone, a network, a client."""

from __future__ import annotations

from collections.abc import Callable

from coda_voice_plugin import MIC_RATE, Call, Strategy, hookimpl
from coda_voice_plugin.audio import Resampler, to_floats, to_pcm


class EchoStrategy(Strategy):
    """Repeats the caller's own sound, about a frame later."""

    name = "echo"

    async def converse(self, call: Call) -> None:
        resample = Resampler(MIC_RATE, call.output_rate)
        while True:
            async with call.reply() as reply:  # ends early when the client says stop
                async for frame in call.mic:
                    await reply.play(to_pcm(resample.push(to_floats(frame.pcm))))
                return


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(EchoStrategy)
