"""OpenAI's Realtime API over aiohttp; ``docs/realtime.md`` describes what is served.

Speech is sent at the speed at which it is heard, as everywhere here, though clients of this
API keep a buffer for more. So an answer can fall silent for a moment and go on (a cough), an
interruption takes back almost everything, also from clients that truncate nothing, and what
was heard is known. The price: a connection that stalls for longer than the lead is heard.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSCloseCode, web

from ...errors import BusyError, VoiceError, WireError
from ...events import ClientEvent, Hello, Problem, ServerEvent
from ...host import Host
from ...session import Session
from ...wire.realtime import MALFORMED, Refusal, SessionUpdate, decode, encode, error_fields
from ...wire.realtime.audio import FORMATS
from ...wire.realtime.session import AnswerSettings, SessionSettings, update_session
from ..clients import ClientSocket, Door, Farewell, Listener, content_of, failed
from .conversation import Conversation, check
from .host import CallHost

SUBPROTOCOL = "realtime"
MOST_EVENTS = 1_000
"""Events that may wait for a client that does not read; then the session ends."""
ROOM = 100
"""So many may wait before the session waits, too."""


class RealtimeSocket(ClientSocket):
    """One client of the Realtime API."""

    def __init__(self, host: Host, door: Door) -> None:
        super().__init__(host, door, SUBPROTOCOL)
        self._settings: SessionSettings
        self._conversation: Conversation
        self._first: str | None = None
        """A message that came before the session and waits for it."""
        self._refused = 0
        self._out: deque[str] = deque()
        self._changed = asyncio.Event()
        self._written = asyncio.Event()
        self._exhausted = asyncio.Event()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        if request.method != "GET":
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        model = request.query.get("model") or self._host.label("llm") or self._host.strategy.name
        answer = AnswerSettings(self._host.config.prompt.system)
        self._settings = SessionSettings(_new_id("sess"), model[:200], answer)
        return await self._attend(request, self._admit)

    async def _admit(self) -> Farewell:
        try:
            async with self._door.leases.place(self._host):
                await self._write(
                    encode(
                        "session.created", _new_id("event"), {"session": self._settings.as_dict()}
                    )
                )
                if (farewell := await self._prepare()) is not None:
                    return farewell
                host = CallHost(self._host, self._settings)
                self._host = host
                return await self._converse(
                    Hello(FORMATS[self._settings.input], reports_playback=True)
                )
        except BusyError as error:
            return failed(error, WSCloseCode.TRY_AGAIN_LATER)
        except VoiceError as error:  # no session could be made
            return failed(error, WSCloseCode.INTERNAL_ERROR)

    async def _prepare(self) -> Farewell | None:
        """Take settings until something else comes: how the microphone comes and who ends a
        turn is fixed then."""
        while self._first is None:
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await self._ws.receive()
            except TimeoutError:
                text = f"nothing was sent for {self._idle_s} seconds; connect again when you like."
                return Farewell(WSCloseCode.OK, Problem("idle", text, True))
            content = content_of(message)
            if len(content) > self._max_bytes:
                return Farewell(WSCloseCode.MESSAGE_TOO_BIG, self._too_big(len(content)))
            try:
                self._take_settings(content)
            except Refusal as refusal:
                self._refuse(refusal)
            if self._refused >= self._limits.bad_messages:
                return self._enough()
            while self._out:
                await self._write(self._out.popleft())
        return None

    def _take_settings(self, content: str | bytes) -> None:
        message, event_id = decode(_text(content))
        if not isinstance(message, SessionUpdate):
            assert isinstance(content, str)
            self._first = content
            return
        try:
            language = self._host.config.language
            settings = update_session(self._settings, message.session, language)
            check(settings.answer, self._host)
        except Refusal as refusal:
            refusal.event_id = event_id
            raise
        self._settings = settings
        self._post("session.updated", session=settings.as_dict())

    def _works(
        self, session: Session, hello: Hello
    ) -> dict[str, Coroutine[None, None, Farewell | None]]:
        assert isinstance(self._host, CallHost)
        talk = Conversation(session, self._host, self._settings, self._post, _new_id)
        self._conversation = talk
        return {
            **super()._works(session, hello),
            "write": self._write_out(),
            "patience": self._lose_patience(),
            "loudspeaker": talk.answers.loudspeaker.run(),
            **({"dictation": talk.dictation.run()} if talk.dictation else {}),
        }

    async def _listen(self, session: Listener, rate: int) -> Farewell | None:
        first, self._first = self._first, None
        if first is not None:
            await self._read(first, rate)
        try:
            return await super()._listen(session, rate)
        finally:
            self._conversation.answers.loudspeaker.hang_up()

    async def _talk(self, session: Session) -> Farewell:
        farewell = await super()._talk(session)
        while self._out:
            self._written.clear()
            await self._written.wait()
        return farewell

    async def _read(self, content: str | bytes, rate: int) -> ClientEvent | None:
        try:
            message, event_id = decode(_text(content))
            self._conversation.take(message, event_id)
        except Refusal as refusal:
            self._refuse(refusal)
        if self._refused >= self._limits.bad_messages or len(self._out) > MOST_EVENTS:
            self._exhausted.set()
        return None

    async def _send(self, event: ServerEvent) -> None:
        self._conversation.answers.tell(event)
        while len(self._out) > ROOM:
            self._written.clear()
            await self._written.wait()

    async def _tell(self, problem: Problem) -> None:
        fields = error_fields(problem.code, problem.message, kind="server_error")
        await self._try(encode("error", _new_id("event"), fields), problem.code)

    async def _write_out(self) -> None:
        """Write what is posted, in order, until cancelled."""
        while True:
            self._changed.clear()
            while self._out:
                await self._write(self._out[0])
                self._out.popleft()
                self._written.set()
            await self._changed.wait()

    def _post(self, kind: str, **fields: Any) -> None:
        self._out.append(encode(kind, _new_id("event"), fields))
        self._changed.set()

    def _refuse(self, refusal: Refusal) -> None:
        self._refused += refusal.code in MALFORMED
        self._post(
            "error",
            **error_fields(refusal.code, refusal.message, refusal.param, refusal.event_id),
        )

    async def _lose_patience(self) -> Farewell:
        """Return when the client goes on with what is no message, or does not read."""
        await self._exhausted.wait()
        if self._refused < self._limits.bad_messages:
            return Farewell(WSCloseCode.POLICY_VIOLATION, self._too_slow())
        return self._enough()

    def _enough(self) -> Farewell:
        ending = WireError(f"{self._refused} messages were malformed; goodbye.")
        return failed(ending, WSCloseCode.POLICY_VIOLATION)


def _text(content: str | bytes) -> str:
    if isinstance(content, bytes):
        raise Refusal("invalid_json", "messages are JSON text here, and this one is binary.")
    return content


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"
