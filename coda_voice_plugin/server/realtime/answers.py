"""The answers of a Realtime conversation: what the session says of its replies, as responses.

The client sees items and responses, the session utterances and replies. An answer that calls
a function is one reply and two responses: it stands still until the client has created the
second one. No I/O; events are posted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from ...events import (
    Caption,
    Flush,
    Problem,
    ServerEvent,
    SpeakingStyle,
    Speech,
    SpeechEnd,
    StateChanged,
    Stop,
    Tool,
    Turn,
    TurnEnded,
    Utterance,
)
from ...session import Session
from ...session.context import estimated_tokens
from ...wire.realtime import Refusal, error_fields
from ...wire.realtime.items import MOST_ITEMS, Item, Items, as_messages
from ...wire.realtime.session import VOICES, AnswerSettings, FunctionTool
from .host import CallHost
from .loudspeaker import Loudspeaker
from .response import Post, Response, Spoken, Status, length_ms

TOOL_S = 120.0
"""Seconds that the client has for a function; then the mind is told that it takes too long."""


class Answers:
    """The answers of one conversation, one at a time."""

    def __init__(
        self,
        session: Session,
        host: CallHost,
        settings: AnswerSettings,
        post: Post,
        new_id: Callable[[str], str],
    ) -> None:
        self._session = session
        self._call = session.call
        self._host = host
        self._post = post
        self._new_id = new_id
        self.items = Items()
        self.settings = settings
        """How answers are given that nobody asked to be different."""
        self.response: Response | None = None
        """The one that goes on."""
        self.interrupts: Callable[[], None] = lambda: None
        """Called when the user has cut an answer, before the client is told that it ended."""
        self.loudspeaker = Loudspeaker(self._call.output_rate, session.receive)
        self._spoken: dict[str, Spoken] = {}
        """Messages with sound, by item: of them it can be said where they stopped."""
        self.running: set[str] = set()
        """Items of the exchange that goes on: its turn brings them into the past."""
        self._results: dict[str, asyncio.Future[str]] = {}
        """Functions that the client runs, by call id."""
        self._outputs: dict[str, str] = {}
        self.wanted = False
        """A response was created, and the strategy has not been asked for it yet."""
        self.ready: Callable[[], bool] = lambda: True
        """Whether the words of the question are known."""
        self._instructions = host.config.prompt.system
        self._use(settings)

    # What is answered.

    def set(self, settings: AnswerSettings) -> None:
        """Give the answers from the next one on like this."""
        self.settings = settings
        if self.response is None:
            self._use(settings)

    def create(self, settings: AnswerSettings, metadata: dict[str, str]) -> None:
        """A response, as the client wants it: a new answer, or the rest of one whose functions
        have been run. Raises Refusal where one of them has no result yet."""
        missing = self._results.keys() - self._outputs.keys()
        if missing:
            message = f"the result of {sorted(missing)[0]!r} is missing; create its item first."
            raise Refusal("function_call_output_missing", message)
        self._use(settings)
        response = self._open(settings, metadata)
        if not self._results:
            self.wanted = True
            self.loudspeaker.goes_on()
            self.ask()
            return
        response.turn = self._call.floor.turn if self._call.floor else 0
        for call_id, result in self._results.items():
            if not result.done():
                result.set_result(self._outputs[call_id])

    def ask(self) -> None:
        """Have the strategy answer what the user said last, if that is wanted and possible:
        the answer before must have become the past."""
        if not self.wanted or self._call.floor is not None or not self.ready():
            return
        self.wanted = False
        items = list(self.items)
        question: list[Item] = []
        while items and items[-1].kind == "message" and items[-1].role == "user":
            question.insert(0, items.pop())
        self._call.retell(as_messages(items))
        self.running = {item.id for item in question}
        now = asyncio.get_running_loop().time()
        text = "\n".join(item.text for item in question if item.text)
        typed = not any(item.sound for item in question)
        self._call.hand(Utterance(text, typed=typed, moment=now))

    def result(self, item: Item) -> bool:
        """The client has run a function; return whether an answer waits for that."""
        if item.call_id not in self._results:
            return False
        self._outputs[item.call_id] = item.output
        self.running.add(item.id)
        return True

    def stop(self) -> None:
        """End the response that goes on, as the client wants it."""
        self.wanted = False
        self._session.receive(Stop())
        self._finish("cancelled", "client_cancelled")

    def truncate(self, item: Item, ms: int) -> None:
        spoken = self._spoken.get(item.id)
        if spoken is None:
            message = "only messages of the assistant that have sound can be truncated."
            raise Refusal("invalid_value", message, "item_id")
        length = length_ms(spoken, self._call.output_rate)
        if ms > length:
            message = f"the sound of {length} ms is already shorter than {ms} ms."
            raise Refusal("invalid_value", message, "audio_end_ms")
        position = spoken.begin + ms * self._call.output_rate // 1000
        if self.response is not None and self.response.spoken is spoken:
            self.stop()  # who truncates plays no more of it
        spoken.truncated_at = position
        item.text, item.status = spoken.heard(position), "incomplete"
        self.loudspeaker.truncated(spoken.turn, position)
        self._tell_truncated(item, ms)
        if any(turn.index == spoken.turn for turn in self._call.turns):
            self.retell()

    def forget(self, item: Item) -> None:
        """An item is no more."""
        self.items.remove(item)
        self._spoken.pop(item.id, None)
        self.retell()

    def retell(self) -> None:
        """The client has changed the past: let the mind read it anew."""
        if not self._call.speaking:
            self.running.clear()
        past = [item for item in self.items if item.id not in self.running]
        self._call.retell(as_messages(past))

    def _open(self, settings: AnswerSettings, metadata: dict[str, str]) -> Response:
        read = estimated_tokens(settings.instructions)
        read += sum(estimated_tokens(item.text or item.output) for item in self.items)
        self.response = response = Response(
            self._new_id("resp"),
            self._post,
            self.items,
            settings,
            metadata,
            self._call.output_rate,
            read,
        )
        return response

    def _finish(self, status: Status, reason: str | None = None) -> None:
        response, self.response = self.response, None
        if response is None:
            return
        if response.spoken is not None:
            self.running.add(response.spoken.item.id)
        response.finish(status, reason)
        self._use(self.settings)

    def _of_turn(self, turn: int) -> Response:
        """The response that reply ``turn`` belongs to; one is opened if there is none."""
        if self.response is not None and self.response.turn not in (0, turn):
            self._finish("cancelled", "turn_detected")
        if self.response is None:
            self._open(self.settings, {})
        assert self.response is not None
        self.response.turn = turn
        return self.response

    def _use(self, answer: AnswerSettings) -> None:
        """Let the next answer be given like this."""
        call = self._call
        if answer.instructions != self._instructions:
            self._instructions = answer.instructions
            call.instruct(answer.instructions)
        call.tools = tuple(self._tool(each) for each in answer.offered)
        voice = None if answer.voice in VOICES else answer.voice
        plain = voice is None and answer.speed == 1.0
        call.style = None if plain else SpeakingStyle(pace=answer.speed, voice=voice)
        self._host.silent = answer.text

    # Functions of the client.

    def _tool(self, tool: FunctionTool) -> Tool:
        async def run(arguments: Mapping[str, Any]) -> str:
            return await self._run_function(tool.name, arguments)

        return Tool(tool.name, tool.description, tool.parameters, run, deadline_s=TOOL_S)

    async def _run_function(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Have the client run a function, and wait for what comes of it."""
        floor = self._call.floor
        response = self._of_turn(floor.turn if floor else self.loudspeaker.turn)
        item = Item(
            self._new_id("item"),
            "function_call",
            name=name,
            call_id=self._new_id("call"),
            arguments=json.dumps(dict(arguments)),
        )
        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._results[item.call_id] = result
        self.running.add(item.id)
        response.call(item)
        response.done_at = floor.samples if floor else 0
        try:
            # the other functions that the mind wants now have begun when this returns
            await asyncio.sleep(0)
            self._finish_at()
            return await result
        finally:
            self._results.pop(item.call_id, None)
            self._outputs.pop(item.call_id, None)

    def _finish_at(self) -> None:
        """Functions were called: the response is done when what was said before is sent."""
        response = self.response
        if response is None or response.done_at is None:
            return
        if self.loudspeaker.sent(response.turn) >= response.done_at:
            self._finish("completed")

    # What the session says.

    def tell(self, event: ServerEvent) -> None:
        """Tell the client what has just happened."""
        match event:
            case StateChanged("thinking"):
                floor = self._call.floor
                if floor is not None:
                    self.wanted = False  # a question that it had not heard of is being answered
                    self._of_turn(floor.turn)
            case StateChanged("listening"):
                self._over()
                if self._call.floor is None:
                    self.running.clear()
                self.ask()
            case Caption(turn, words):
                response = self._of_turn(turn)
                begin = self.loudspeaker.sent(turn)
                response.say(self._message_id(response), turn, begin, words)
                self._note(response)
            case Speech(turn, frame):
                self.loudspeaker.take(event)
                response = self._of_turn(turn)
                response.sound(self._message_id(response), turn, frame.start, frame.pcm)
                self._note(response)
                self._finish_at()
            case SpeechEnd(turn):
                self.loudspeaker.take(event)
                if self.response is not None and self.response.turn == turn:
                    self._finish("completed")
            case Flush(turn):
                self.loudspeaker.take(event)
                self.interrupts()
                if self.response is not None and self.response.turn == turn:
                    self._finish("cancelled", "turn_detected")
            case TurnEnded(turn_kept):
                self._kept(turn_kept)
            case Problem():
                self._failed(event)
            case _:
                pass  # this protocol has no word for it

    def _message_id(self, response: Response) -> str:
        return response.spoken.item.id if response.spoken else self._new_id("item")

    def _note(self, response: Response) -> None:
        assert response.spoken is not None
        if response.spoken.item.sound:
            self._spoken[response.spoken.item.id] = response.spoken
        if len(self._spoken) > MOST_ITEMS:
            del self._spoken[next(iter(self._spoken))]

    def _over(self) -> None:
        """A reply is over."""
        response = self.response
        if response is None or response.turn == 0:
            return
        floor = self._call.floor
        if floor is None or floor.turn != response.turn:
            latest = self._call.turns[-1] if self._call.turns else None
            cut = latest is None or latest.index != response.turn or latest.interrupted
            self._finish("cancelled" if cut and not response.failure else "completed")

    def _kept(self, turn: Turn) -> None:
        """A turn is stored: messages end where the listener stopped hearing them."""
        parts = [each for each in self._spoken.values() if each.turn == turn.index]
        position = round(turn.heard_ms * self._call.output_rate / 1000)
        for spoken in parts if turn.interrupted else ():
            item = spoken.item
            if len(parts) == 1 and spoken.truncated_at in (None, position):
                item.text = turn.assistant  # the session knows words that were not told yet
            if spoken.truncated_at is None and position < spoken.end:
                item.text = item.text if len(parts) == 1 else spoken.heard(position)
                item.status = "incomplete"
                ms = 1000 * max(0, position - spoken.begin) // self._call.output_rate
                self._tell_truncated(item, ms)
        if any(spoken.truncated_at is not None for spoken in parts):
            self.retell()

    def _failed(self, problem: Problem) -> None:
        floor = self._call.floor
        if floor is not None and floor.error == problem.code and self.response is not None:
            self.response.failure = problem
            return
        fields = error_fields(problem.code, problem.message, kind="server_error")
        self._post("error", **fields)

    def _tell_truncated(self, item: Item, ms: int) -> None:
        place = {"item_id": item.id, "content_index": 0}
        self._post("conversation.item.truncated", audio_end_ms=ms, **place)
