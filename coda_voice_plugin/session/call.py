"""A strategy's view of the conversation: an ear, a mouth, and what has been said."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config import VoiceConfig
from ..errors import VoiceError
from ..events import (
    Heard,
    Message,
    Notice,
    Played,
    Problem,
    SpeakingStyle,
    StateChanged,
    Tool,
    Transcript,
    Turn,
    Utterance,
)
from .context import Context
from .mic import FrameQueue
from .reply import Reply
from .speaker import Speaker

if TYPE_CHECKING:
    from ..host import Host

MAX_HEARD = 256
"""Ear events kept for a strategy that is busy; newer partial words replace older."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a mind is given for one answer."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    style: SpeakingStyle


class Call:
    """One conversation, as its strategy and the hooks see it."""

    def __init__(
        self,
        host: Host,
        config: VoiceConfig,
        session_id: str,
        speaker: Speaker,
        *,
        reports_playback: bool,
        record: Callable[[Turn], None],
    ) -> None:
        self.id = session_id
        self.host = host
        self.config = config
        self.speaker = speaker
        self.output_rate: int = config.audio.sample_rate
        """Hertz of everything that is spoken in this call."""
        self.reports_playback = reports_playback
        mic_frames = max(1, config.audio.mic_buffer_ms // 20)
        self.mic = FrameQueue(mic_frames)
        """Raw sound: 20 ms frames at :attr:`mic_rate`, for strategies that listen themselves."""
        self.mic_rate: int = host.strategy.mic_rate
        """Hertz of :attr:`mic`."""
        self.barge_in = True
        """Whether the user's speech interrupts a reply. A strategy that yields by itself sets
        it to False when it begins; the client's stop interrupts in any case."""
        self.can_hold = True
        """Whether a reply can stand still and go on. A strategy whose sound is live sets it to
        False: then speech of ``turn.barge_in_ms`` interrupts at once."""
        self.turns: list[Turn] = []
        """Finished exchanges, as really heard."""
        self.context = Context(config, host.llm if "llm" in host.needs else None)
        """What the mind reads again of them."""
        self.tools: tuple[Tool, ...] = ()
        """The caller's own, offered to the mind before those of plugins."""
        self.style: SpeakingStyle | None = None
        """How the caller wants it to sound; None leaves it to the plugins."""
        self.filter: Callable[[Heard], Heard | None] = lambda heard: heard
        """What the strategy is told of what the ear reports; None: nothing of it."""
        self.on_unheard: Callable[[str], None] = lambda text: None
        """Told the user's words when their answer was cut before any of it was heard."""
        self.on_closed: Callable[[], None] = lambda: None
        """Told when a reply is over and has become history."""
        self._record = record
        self._heard: deque[Heard] = deque()
        self._heard_more = asyncio.Event()
        self._hung_up = False
        self._floor: Reply | None = None
        self._turn = 0

    # What a strategy uses.

    async def hear(self) -> AsyncIterator[Heard]:
        """What the user does: speech, partial words, pauses, finished utterances.

        Ends when the user has hung up. Needs "stt" in the strategy's ``needs``; with
        "turns" alone there are no words: pauses without text, and no utterances but typed ones.
        """
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._hung_up:
                return
            self._heard_more.clear()
            await self._heard_more.wait()

    async def utterances(self) -> AsyncIterator[Utterance]:
        """Only the finished utterances of :meth:`hear`."""
        async for heard in self.hear():
            if isinstance(heard, Utterance):
                yield heard

    def reply(self, utterance: Utterance | None = None) -> Reply:
        """Answer ``utterance``, or speak up without one: ``async with call.reply(...)``.

        The block ends when the answer has been heard, or early when the user
        interrupts. An EngineError inside it is told to the client and ends the
        answer only.
        """
        now = asyncio.get_running_loop().time()
        return Reply(self, utterance or Utterance("", moment=now))

    def draft(self) -> Reply:
        """Like :meth:`reply`, but not heard before ``await draft.release(utterance)``;
        thrown away without a trace by ``draft.cut()``."""
        return Reply(self, None)

    def interrupt(self, *, stopped: bool = False) -> bool:
        """Stop what is being said; return whether something was."""
        reply = self._floor
        if reply is None:
            return False
        reply.cut(stopped=stopped)
        return True

    @property
    def speaking(self) -> bool:
        """Whether an answer has the floor, audible or about to be."""
        return self._floor is not None

    @property
    def floor(self) -> Reply | None:
        """The answer that is audible or about to be."""
        return self._floor

    @property
    def history(self) -> tuple[Message, ...]:
        """The conversation as the mind reads it again, as heard; what was cut off ends
        with a dash."""
        return self.context.messages

    async def think(self, user_text: str, notes: Sequence[str] = ()) -> Prompt:
        """Ask the plugins, and put together what the mind reads, within its context.

        The beginning stays the same from turn to turn, so that a model's prompt
        cache stays hot; what plugins add, and ``notes`` for this answer only, comes
        just before the user's words.
        """
        await self._cut_off()
        found = await self._ask_plugins(user_text)
        style = self.style or next(iter(found.get("speaking_style", ())), SpeakingStyle())
        names = {tool.name for tool in self.tools}
        given = (tool for each in found.get("reply_tools", ()) for tool in each)
        tools = (*self.tools, *(tool for tool in given if tool.name not in names))
        now = [*found.get("reply_context", ()), *filter(None, (style.guidance,)), *notes]
        extra = (Message("system", "\n".join(now)),) if now else ()
        # without words of the user the mind goes on from what was said last
        user = (Message("user", user_text),) if user_text else ()
        context = self.context
        context.fit(context.count((context.system, *extra, *user)) + context.count_tools(tools))
        return Prompt((context.system, *context.messages, *extra, *user), tools, style)

    def instruct(self, system: str) -> None:
        """Let the mind follow ``system`` in place of ``prompt.system``, from its next answer on."""
        earlier = self.context
        prompt = self.config.prompt.model_copy(update={"system": system})
        config = self.config.model_copy(update={"prompt": prompt})
        self.context = Context(config, self.host.llm if "llm" in self.host.needs else None)
        self.context.retell(earlier.messages)
        self.context.summary = earlier.summary

    def remember(self, note: str) -> None:
        """Let the mind know, from its next answer on, what happened and nobody said."""
        self.context.remember(note)

    def resume(self, turns: Sequence[Turn]) -> None:
        """This conversation goes on after ``turns``, the earliest first."""
        self.turns[:] = turns
        self._turn = max((turn.index for turn in turns), default=0)
        self.context.retell([])
        for turn in turns:
            self.context.add(turn)

    def retell(self, messages: Iterable[Message]) -> None:
        """Replace what the mind reads of the past: this is what was said, the earliest first.

        For a host that keeps the conversation itself, and knows more of it than was spoken.
        """
        self.context.retell(messages)

    def overheard(self, messages: Iterable[Message]) -> None:
        """Add what was said in this conversation elsewhere: typed in another window."""
        self.context.overheard(messages)

    def notify(self, kind: str, **data: Any) -> None:
        """Tell the client something of your own."""
        self.speaker.post(Notice(kind, data))

    def report(self, error: VoiceError, *, fatal: bool = False) -> None:
        """Tell the client what failed."""
        self.speaker.post(Problem(error.code, str(error), fatal))

    @property
    def names(self) -> dict[str, str]:
        """Who holds this conversation: strategy and engines."""
        label = self.host.label
        kinds = {kind: label(kind) for kind in ("stt", "llm", "tts")}
        return {"strategy": self.host.strategy.name, **kinds}

    async def _ask_plugins(self, user_text: str) -> dict[str, list[Any]]:
        config, plugins = self.config, self.host.plugins
        deadline = config.hooks.deadline_ms / 1000
        asked = {
            "reply_context": config.memory_integration_enabled,
            "speaking_style": config.personality_integration_enabled,
            "reply_tools": config.tools_integration_enabled,
        }
        async with asyncio.TaskGroup() as tasks:
            answers = {
                hook: tasks.create_task(plugins.ask(hook, deadline, call=self, user_text=user_text))
                for hook, wanted in asked.items()
                if wanted and plugins.listens(hook)
            }
        return {hook: task.result() for hook, task in answers.items()}

    async def _cut_off(self) -> None:
        """Wait until an answer that was just cut off has become history."""
        while (earlier := self._floor) is not None and earlier.interrupted:
            await earlier.closed.wait()

    # What the session and replies use.

    def heard(self, event: Heard) -> None:
        """Hand ``event`` to the strategy, if the filter lets it. Never waits."""
        passed = self.filter(event)
        if passed is not None:
            self.hand(passed)

    def hand(self, event: Heard) -> None:
        """Hand ``event`` to the strategy. Never waits."""
        latest = self._heard[-1] if self._heard else None
        if isinstance(event, Transcript) and isinstance(latest, Transcript):
            self._heard.pop()
        if len(self._heard) >= MAX_HEARD:
            raise VoiceError(
                f"strategy {self.host.strategy.name!r} left {MAX_HEARD} ear events unread; "
                "iterate call.hear() while you speak, or call.mic if you need raw sound only."
            )
        self._heard.append(event)
        self._heard_more.set()

    def hang_up(self) -> None:
        """No more sound will come."""
        self._hung_up = True
        self._heard_more.set()
        self.mic.close()

    def finish(self) -> None:
        """The strategy has returned or was cancelled: nobody has the floor any more."""
        self._hung_up = True
        if self._floor is not None:
            self._floor.abandon()

    def played(self, report: Played) -> None:
        """The client reports its position in a reply."""
        if self._floor is not None and self._floor.turn == report.turn:
            self._floor.played(report.samples, final=report.final)

    async def take_floor(self, reply: Reply, utterance: Utterance) -> None:
        """Make ``reply`` the one that is heard; who had the floor is interrupted."""
        while (earlier := self._floor) is not None:
            earlier.cut(stopped=True)
            await earlier.closed.wait()
        if reply.interrupted:
            return
        self._floor = reply
        self._turn += 1
        reply.began(self._turn, utterance)
        self.speaker.post(StateChanged("thinking"))
        self.speaker.start(reply)

    def close_turn(self, reply: Reply) -> None:
        """``reply`` is over: what was heard becomes history."""
        if self._floor is reply:
            self._floor = None
        self._keep(reply)
        self.on_closed()

    def _keep(self, reply: Reply) -> None:
        assert reply.utterance is not None
        utterance = reply.utterance
        turn = reply.summary()
        self.speaker.post(StateChanged("listening"))
        unheard = turn.interrupted and turn.heard_ms == 0
        if unheard and turn.user and not (utterance.typed or reply.stopped or self._hung_up):
            self.on_unheard(turn.user)
            return
        if not (turn.user or turn.generated):
            return  # raw sound without words: nothing to remember
        self.turns.append(turn)
        self.context.add(turn)
        self._record(turn)
