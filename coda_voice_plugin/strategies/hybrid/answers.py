"""One call's answers: who gives the next one, how, and who steps in where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from coda_voice_plugin import (
    Call,
    ContextOverflowError,
    EngineError,
    EngineTimeoutError,
    Reply,
    VoiceError,
)
from coda_voice_plugin.config.hybrid import Rung

from ..ollama.aloud import Aloud, Voice
from ..ollama.conversation import Answer
from ..ollama.conversation import Conversation as Chain
from .health import Part
from .ladder import Ladder
from .opener import Opener, Phrases
from .oracle import Free
from .partner import Partner
from .parts import Parts
from .routing import Route, Routing
from .stage import Stage
from .voices import TwoVoices
from .watched import Watched, note
from .ways import Way, choose

RESTART_S = 2.0
"""A mind that has thought for longer keeps its thought: to begin anew would cost that time."""
BEGUN = "You have begun this answer aloud already: “{opener}” Go on from there; do not repeat it."
"""For the mind, so that its answer continues the opener."""
UNREAD = "Sorry, I did not get that. Please say it again."
"""Said where the ear has failed and Moshi cannot answer in its place."""


@dataclass(slots=True)
class Plan:
    """How one answer came about."""

    stage: Stage
    route: Route
    rung: Rung | None
    way: str = ""
    since: float = 0.0
    """When the mind began to think, on the event loop's clock."""
    sorry: bool = False
    """It was said that nothing can be looked up."""
    reason: str = ""
    """Why it is not the rung that was planned."""
    mind: Watched | None = None
    answer: Answer | None = None
    """Of a language model; None where Moshi answers alone."""


class Answers:
    """Answers the user's turns. What lasts from one to the next is here, and in the call."""

    def __init__(
        self,
        call: Call,
        parts: Parts,
        partner: Partner,
        ways: Sequence[type[Way]],
        chain: Chain,
        routing: Routing,
    ) -> None:
        self._call = call
        self._parts = parts
        self._partner = partner
        self._ways = ways
        self._chain = chain
        self._routing = routing
        self._phrases = Phrases(call.config)
        self._rungs = parts.fallback.ladder
        self._ladder = Ladder(parts.fallback, parts.health)
        self._sorry = False
        """The user has been told that nothing can be looked up."""
        self._plans: dict[Reply, Plan] = {}
        self._pausing = False

    # What the conversation uses.

    async def answer(self, reply: Reply, text: str) -> None:
        """Answer ``text`` by ``reply``; return when it has been heard or dropped."""
        stage = Stage(self._call, reply, self._partner)
        plan = self._plan(stage, text)
        if self._pausing:
            stage.open.set()
        self._plans[reply] = plan
        if reply.is_released:
            self.released(reply)
        await self._hold(plan, self._give(stage, text, plan))

    async def greet(self) -> None:
        """Let Moshi speak first, as ``moshi.opening`` says, once it is on the line."""
        opening = self._call.config.moshi.opening
        if opening == "listen":
            return
        await self._partner.opened.wait()
        if self._call.speaking or self._call.turns or self._plans:
            return  # the user was first
        stage = Stage(self._call, self._call.reply(), self._partner)
        stage.open.set()
        await self._hold(Plan(stage, Route(alone=True), None), self._greet(stage, opening))

    async def _greet(self, stage: Stage, opening: str) -> None:
        if opening == "free":
            with suppress(EngineTimeoutError):  # it need not greet
                await Free(stage).run()
        else:
            await Opener(stage, opening, self._blame).speak()

    async def without_words(self, error: VoiceError) -> None:
        """The ear has lost the words of a turn. Moshi, who has heard it, answers if it can."""
        if isinstance(error, EngineError):
            note(self._parts.health, "stt", error)
        if any(not reply.interrupted for reply in self._plans):
            return  # what was said over an answer, or before it, does not end it
        stage = Stage(self._call, self._call.reply(), self._partner)
        stage.open.set()
        here = self._partner.here and "moshi" in self._rungs
        plan = Plan(stage, Route(), "moshi" if here else None, reason=str(error))
        await self._hold(plan, self._unread(plan, error))

    async def _unread(self, plan: Plan, error: VoiceError) -> None:
        """Answer words that nobody could write down; the client has been told of ``error``."""
        self._tell_move(plan)
        if plan.rung is not None:
            await self._alone(plan, sorry=False)
            return
        plan.stage.reply.error = error.code
        if self._call.config.trouble.spoken:
            await self._two_voices(plan.stage).fill(UNREAD)

    async def _hold(self, plan: Plan, giving: Coroutine[Any, Any, None]) -> None:
        """Hold one reply while ``giving`` fills it."""
        stage, reply = plan.stage, plan.stage.reply
        self._plans[reply] = plan
        reply.on_cut = stage.leave
        if reply.interrupted:
            stage.leave()  # cut before it began
        try:
            async with reply:
                await giving
        finally:
            giving.close()  # where it never began
            stage.leave()
            del self._plans[reply]
        if reply.is_released:
            self._done(reply, plan)

    def paused(self) -> None:
        """The user may be done: Moshi may begin, unheard until the turn is confirmed."""
        self._pausing = True
        for plan in self._plans.values():
            plan.stage.open.set()

    def resumed(self) -> None:
        """The user speaks: what begins now waits for a pause."""
        self._pausing = False

    def released(self, reply: Reply) -> None:
        """The turn is confirmed: tell how it is answered, and why."""
        if (plan := self._plans.get(reply)) is None:
            return  # it begins only now, or has failed already
        plan.stage.open.set()
        plan.stage.on_news()
        self._sign(plan)
        self._routing.confirmed(reply, plan.route, plan.rung)
        self._tell_move(plan)

    # One answer.

    def _plan(self, stage: Stage, text: str) -> Plan:
        wanted = self._call.config.hybrid.way
        way = choose(self._ways, wanted, self._partner, tts=self._parts.health.up("tts"))
        self._ladder.moshi_speaks = way is not None and not way.speaks_with_tts
        rung = self._ladder.rung(moshi_here=self._partner.here)
        route = self._routing.route(text, rung)
        return Plan(stage, route, "moshi" if route.alone else rung)

    async def _give(self, stage: Stage, text: str, plan: Plan) -> None:
        """Answer, on the next rung where one fails before anything of the answer was given."""
        while True:
            part = self._ladder.mind(plan.rung) if plan.rung else None
            try:
                await self._by(stage, text, plan, part)
            except EngineError as error:
                if plan.mind is None or plan.mind.failure is not error:
                    self._blame(error)
                lower = self._below(plan.rung, error, part)
                if stage.reply.has_content or lower is None:
                    raise
                plan.rung, plan.way, plan.reason = lower, "", str(error)
                self._sign(plan)
                if stage.reply.is_released:
                    self._tell_move(plan)
            else:
                return

    def _below(self, rung: Rung | None, error: EngineError, tried: Part | None) -> Rung | None:
        if rung is None or isinstance(error, ContextOverflowError):
            return None  # another mind reads no more than this one
        return self._ladder.below(rung, moshi_here=self._partner.here, tried=tried)

    async def _by(self, stage: Stage, text: str, plan: Plan, part: Part | None) -> None:
        if plan.rung == "moshi":
            lost = self._rungs[0] != "moshi" and not plan.route.alone
            await self._alone(plan, sorry=lost)
        elif part is None:
            raise EngineError("hybrid", f"nobody can answer: {self._why_nobody()}.")
        elif plan.rung == "hybrid":
            await self._both(stage, text, plan)
        else:
            await self._one_after_the_other(stage, text, plan, part)

    def _why_nobody(self) -> str:
        rungs = self._rungs
        here = self._partner.here
        return "; ".join(f"{rung}: {self._ladder.why_not(rung, moshi_here=here)}" for rung in rungs)

    async def _alone(self, plan: Plan, *, sorry: bool) -> None:
        """Moshi answers; once it is said that it cannot look things up."""
        stage = plan.stage
        await stage.open.wait()
        trouble = self._call.config.trouble
        if sorry and not self._sorry and trouble.spoken and trouble.without_llm:
            await self._two_voices(stage).fill(trouble.without_llm)
            plan.sorry = True
        await Free(stage).run()
        self._parts.health.well("moshi")

    async def _both(self, stage: Stage, text: str, plan: Plan) -> None:
        """Moshi opens, the language model answers."""
        plan.sorry = False
        voices = self._two_voices(stage)
        way = voices.way
        plan.way = way.name if way else ""
        free = stage.settings.opener == "free"
        phrase = self._phrases.opener(text) if stage.settings.opener == "phrase" else ""
        opens = way is not None and not way.free and (free or (phrase and self._partner.can_say))
        if not opens:
            await self._answer(stage, voices, "llm", plan).give(text, self._chain.question)
            return
        async with asyncio.TaskGroup() as tasks:
            overtakes = way is not None and way.speaks_with_tts
            begun = (lambda: plan.mind is not None and plan.mind.begun) if overtakes else None
            opener = Opener(stage, phrase, self._blame, begun=begun)
            opening = tasks.create_task(opener.run(), name="opener")
            thinking = self._think(tasks, stage, text, voices, plan, phrase)
            await asyncio.wait((thinking, opening), return_when=asyncio.FIRST_COMPLETED)
            if self._knew_too_little(stage, plan, opening, thinking, phrase):
                thinking.cancel()
                await asyncio.wait((thinking,))
                thinking = self._think(tasks, stage, text, voices, plan, stage.opened)
            await asyncio.wait((thinking,))
            stage.ready.set()  # whatever came of it: the opener ends with its clause
        if (error := thinking.result()) is not None:
            raise error

    def _think(
        self,
        tasks: asyncio.TaskGroup,
        stage: Stage,
        text: str,
        voices: TwoVoices,
        plan: Plan,
        opener: str,
    ) -> asyncio.Task[EngineError | None]:
        """Have the language model answer, and go on from ``opener``."""
        stage.told = opener
        plan.since = asyncio.get_running_loop().time()
        notes = [BEGUN.format(opener=opener)] if opener else []
        answer = self._answer(stage, voices, "llm", plan)
        work = _outcome(answer.give(text, self._chain.question, notes))
        return tasks.create_task(work, name="thinking")

    def _knew_too_little(
        self,
        stage: Stage,
        plan: Plan,
        opening: asyncio.Task[None],
        thinking: asyncio.Task[EngineError | None],
        phrase: str,
    ) -> bool:
        """Whether Moshi has said words of its own that the answer, not begun yet, goes on from."""
        begun = stage.ready.is_set() or thinking.done()
        acted = plan.answer is not None and bool(plan.answer.toolbox.events)
        deep = asyncio.get_running_loop().time() - plan.since > RESTART_S
        said = opening.done() and not phrase and bool(stage.opened)
        return said and not (begun or acted or deep)

    def _answer(self, stage: Stage, aloud: Aloud, part: Part, plan: Plan) -> Answer:
        plan.mind = self._parts.mind(part)
        self._sign(plan)
        plan.answer = Answer(self._call, stage.reply, aloud, self._chain.kept, plan.mind)
        return plan.answer

    async def _one_after_the_other(self, stage: Stage, text: str, plan: Plan, part: Part) -> None:
        """Ear, language model, voice: Moshi has no part in it."""
        voice = Voice(stage.reply, self._chain.openers.opener(stage.reply))
        await self._answer(stage, voice, part, plan).give(text, self._chain.question)

    def _two_voices(self, stage: Stage) -> TwoVoices:
        parts = self._parts
        return TwoVoices(
            stage, self._ways, self._phrases, self._blame, lambda: parts.health.up("tts")
        )

    def _blame(self, error: EngineError) -> None:
        if error is not self._partner.counted:  # once is enough
            self._parts.blame(error)

    # What is told.

    def _sign(self, plan: Plan) -> None:
        """Let the turn name the mind that really thought."""
        reply = plan.stage.reply
        if reply.is_released and plan.rung == "moshi":
            reply.names["llm"] = ""
        elif reply.is_released and plan.mind is not None:
            reply.names["llm"] = plan.mind.label

    def _tell_move(self, plan: Plan) -> None:
        if plan.route.alone:
            return  # a choice
        move = self._ladder.moved(plan.rung, moshi_here=self._partner.here)
        if move is not None:
            data = dict(move.data) | ({"reason": plan.reason} if plan.reason else {})
            self._call.notify("fallback", turn=plan.stage.reply.turn, **data)

    def _done(self, reply: Reply, plan: Plan) -> None:
        """The turn is stored: count what it took."""
        self._chain.given(reply, plan.answer)
        self._sorry = plan.sorry or (self._sorry and plan.rung == "moshi")
        turn = self._call.turns[-1] if self._call.turns else None
        if turn is None or turn.index != reply.turn or plan.rung is None:
            return
        tally = self._parts.tally
        tally.add(plan.rung, turn.timings_ms, mind=plan.mind.part if plan.mind else None)
        self._call.notify("answered", turn=turn.index, mode=plan.rung, way=plan.way)
        for stage, took, budget in tally.over(plan.rung, turn.timings_ms):
            self._call.notify(
                "over_budget", turn=turn.index, mode=plan.rung, stage=stage, ms=took, budget=budget
            )


async def _outcome(work: Coroutine[Any, Any, None]) -> EngineError | None:
    """The error as a value: a task group would end with it, and the opener in it."""
    try:
        await work
    except EngineError as error:
        return error
    return None
