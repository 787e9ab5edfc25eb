"""How the faults of two minds with one mouth are made, and how they heal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from fallback_models import Ear, Embedded, Mind, Mouth, Other, Shaky
from hybrid_scene import Call, ScriptedHybrid

from coda_voice_plugin import (
    AnswerBrokenError,
    EngineDownError,
    EngineError,
    EngineTimeoutError,
    ModelTooBigError,
    VoiceError,
)
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.strategies.hybrid.parts import Parts
from coda_voice_plugin.testing import World

DOWN = EngineDownError("mind", "nobody answers.")
BROKEN = AnswerBrokenError("mind", "the connection was reset.")
STALLED = EngineTimeoutError("mind", "wrote no word for 1.5 s.")
TOO_BIG = ModelTooBigError("mind", "the model does not fit into memory.")
DEAF = EngineError("ear", "the ear broke.")
HOARSE = EngineError("mouth", "the voice broke.")
BUG = RuntimeError("the step broke")


class OutOfMemoryError(RuntimeError):
    """Like torch.cuda.OutOfMemoryError, which is a RuntimeError too."""


CUDA = OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
Act = Callable[[Call], None]


def mind(call: Call) -> Mind:
    return cast("Mind", call.world.host.llm)


def moshi(call: Call) -> Shaky:
    return cast("Shaky", call.moshi)


def mouth(call: Call) -> Mouth:
    return cast("Mouth", call.world.host.tts)


def ear(call: Call) -> Ear:
    return cast("Ear", call.world.host.stt)


def thinks(error: EngineError, after: int = 0, stalls: float = 0.0) -> Act:
    """The language model fails behind so many words."""

    def act(call: Call) -> None:
        mind(call).error, mind(call).after, mind(call).stalls = error, after, stalls

    return act


def slow(call: Call) -> None:
    mind(call).first_token = 30.0


def mute(call: Call) -> None:
    mind(call).mute = True


def mended(call: Call) -> None:
    """The models are as they were."""
    mind(call).heal()
    mouth(call).error = ear(call).error = None
    shaky = moshi(call)
    shaky.broken = shaky.silent = False
    shaky.obeys, shaky.cost = True, 0.01


def steps(error: Exception, words: int) -> Act:
    """A step of Moshi fails behind so many words; the model is begun anew at once."""
    return lambda call: moshi(call).fail_behind(words, error)


def breaks(call: Call) -> None:
    """A step of Moshi fails, and it cannot be begun anew."""
    moshi(call).broken = True
    moshi(call).fail_behind(0, BUG)


def hangs(words: int, seconds: float) -> Act:
    """A step of Moshi takes so long, behind so many words."""
    return lambda call: moshi(call).hang_behind(words, seconds)


def slows(words: int, seconds: float) -> Act:
    """Every step of Moshi takes so long, behind so many words."""
    return lambda call: moshi(call).hang_behind(words, seconds, lasting=True)


def silent(call: Call) -> None:
    moshi(call).silent = True


def disobeys(call: Call) -> None:
    moshi(call).obeys = False


def costs(seconds: float) -> Act:
    def act(call: Call) -> None:
        moshi(call).cost = seconds

    return act


def hoarse(after: int = 0, *, halfway: bool = False) -> Act:
    def act(call: Call) -> None:
        voice = mouth(call)
        voice.error, voice.after, voice.halfway = HOARSE, after, halfway

    return act


def deaf(call: Call) -> None:
    ear(call).error = DEAF


def deaf_at_once(call: Call) -> None:
    ear(call).error, ear(call).early = DEAF, True


def both(*acts: Act) -> Act:
    def act(call: Call) -> None:
        for each in acts:
            each(call)

    return act


class Far(ScriptedHybrid):
    """Moshi on a server that refuses calls until :attr:`there`."""

    there = False

    async def _open_moshi(self, parts: Parts, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.engine.wheel.open())
        parts.engine = cast("Any", self)
        parts.health.add("moshi", self._look)

    async def _look(self) -> None:
        if not self.there:
            raise EngineDownError("moshi", "nobody answers.")

    @asynccontextmanager
    async def line(self, settings: Any) -> AsyncIterator[MoshiSlot]:
        await self._look()
        async with self.engine.line(settings) as line:
            yield line

    @property
    def loaded(self) -> Any:
        return self.engine.loaded

    @property
    def wheel(self) -> Any:
        return self.engine.wheel

    def serve(self) -> None:
        self.there = True


def served(call: Call) -> None:
    cast("Far", call.strategy).serve()


class Somebody:
    """Sits in a slot and gives nothing."""

    def gather(self) -> None:
        return None

    def give(self, out: object) -> None:
        raise AssertionError("nothing was asked")

    def fail(self, error: VoiceError) -> None:
        pass


GUEST = Somebody()


def leave(call: Call) -> None:
    call.strategy.engine.wheel.leave(cast("Any", GUEST))


def crowded(call: Call) -> None:
    """Moshi's step fails, and somebody else is quicker to take the only slot."""
    moshi(call).fail_behind(0, BUG)
    strategy = call.strategy
    strategy.parts.health.subscribe(
        lambda change: (
            strategy.engine.wheel.join(cast("Any", GUEST))
            if change.part == "moshi" and change.up
            else None
        )
    )


def kinds(world: World, strategy: ScriptedHybrid) -> None:
    """The minds that stand in can be had."""
    world.host.plugins.kinds["llm"] |= {"ollama": Other, "llamacpp": Embedded}


def unstuck(call: Call) -> bool:
    """The step has ended, and the model was begun anew."""
    return call.strategy.engine.wheel.ticks.restarts > 0
