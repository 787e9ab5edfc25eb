"""Owns the tasks of one conversation; none of them outlives :meth:`Session.run`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING

from ..audio import AudioProcessor
from ..errors import EngineError, StoreError, TakenOverError, VoiceError
from ..events import (
    AudioFrame,
    ClientEvent,
    Heard,
    Hello,
    Mute,
    Ping,
    Played,
    ServerEvent,
    SessionReady,
    Speech,
    SpeechEnded,
    SpeechStarted,
    Stop,
    Subscribe,
    TalkKey,
    Transcript,
    Typed,
    UseMode,
    UseModel,
    UserSpeech,
    UserText,
    Utterance,
)
from .call import Call
from .ear import Ear
from .interruption import Interruption
from .microphone import Microphone
from .recording import Recording, recording_path
from .scribe import Scribe
from .speaker import LEAD_S, Speaker

if TYPE_CHECKING:
    from ..host import Host

logger = logging.getLogger(__name__)

CLOSING_S = 5.0
"""How long storing and telling may take after the call is over."""


class Session:
    """One conversation: sound and messages in by :meth:`receive`, events out by ``send``.

    ``send`` is called by one task, one event at a time; if it raises, the session
    ends with that error. ``front`` replaces the front end that the settings ask for;
    without ``paced`` speech is sent as soon as it exists, for clients that only record.
    ``key`` is stored with it: what who goes on with it later must prove to know.
    """

    def __init__(
        self,
        host: Host,
        send: Callable[[ServerEvent], Awaitable[None]],
        hello: Hello | None = None,
        session_id: str | None = None,
        *,
        front: AudioProcessor | None = None,
        paced: bool = True,
        key: str | None = None,
    ) -> None:
        hello = hello or Hello()
        config = host.config
        asked = session_id or hello.session
        self.id = asked or secrets.token_hex(8)
        self._may_go_on = asked is not None
        """An earlier conversation may have this id."""
        self.resumed = False
        """It goes on with a stored conversation; known when :class:`SessionReady` is sent."""
        self._key = key
        self.host = host
        self._config = config
        self._send = send
        echoes = config.audio.echo_cancellation
        self._speaker = Speaker(
            self._send_far if echoes else send,
            config.audio.chunk_size,
            LEAD_S if paced else inf,
        )
        self.call = Call(
            host,
            config,
            self.id,
            self._speaker,
            reports_playback=hello.reports_playback,
            record=lambda turn: self._scribe.record(turn),
        )
        self._scribe = Scribe(self.call)
        self._mic = Microphone(host, self.call, hello.rate, front)
        self._ear = self._make_ear() if "turns" in host.needs else None
        if self._ear is not None:
            self._mic.take = self._ear.take
        self.call.on_closed = self._reply_over
        self._recording: Recording | None = None
        self._closed = False
        self._tasks: asyncio.TaskGroup | None = None
        self._switching: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._ending: VoiceError | None = None
        self._over = asyncio.Event()
        self._speaker.post(self._ready(hello))

    def receive(self, event: ClientEvent) -> None:
        """Take what the client sent. Never waits; after :meth:`close` only positions count."""
        if self._closed and not isinstance(event, Played):
            return
        self._speaker.heard_at = asyncio.get_running_loop().time()
        match event:
            case AudioFrame(pcm):
                self._mic.listen(pcm)
            case Played():
                self.call.played(event)
                self._follow()
            case Stop():
                self.call.interrupt(stopped=True)
            case Typed(text):
                self._typed(text)
            case TalkKey(down):
                if down:
                    self._barge_in()
                self._mic.talk_key(down)
            case UseModel(model):
                self._switch(model)
            case UseMode(mode):
                self._mic.use(mode)
                self.call.notify("mode", mode=mode)
            case Mute(muted):
                self._mic.muted = muted
            case Subscribe() | Ping():
                pass  # about the line, not the conversation: whoever holds it sees to it
            case Hello():
                raise VoiceError("hello was said already; it opens a session.")

    def close(self) -> None:
        """The caller hung up: what was said is written down, and the session ends."""
        if not self._closed:
            self._closed = True
            self._mic.finish()
            if self._ear is not None:
                self._ear.close()
            else:
                self.call.hang_up()

    def park(self) -> None:
        """The client is away, perhaps for a moment: what is being said stands still."""
        self._speaker.park()
        if self._recording is not None:
            self._recording.park()

    def unpark(self) -> None:
        """The client is back."""
        self._speaker.unpark()
        if self._recording is not None:
            self._recording.unpark(asyncio.get_running_loop().time())

    def end(self, error: VoiceError) -> None:
        """End it now; :meth:`run` raises ``error``, which the client is told."""
        self._ending = self._ending or error
        self._ended.set()

    async def over(self) -> None:
        """Wait until :meth:`run` has returned."""
        await self._over.wait()

    @property
    def idle(self) -> bool:
        """Nothing is being heard, written down, answered or stored."""
        deaf = self._ear is None or self._ear.idle
        return deaf and not self.call.speaking and self._scribe.idle

    @property
    def busy(self) -> bool:
        """Speaking, or writing down a pause: a source that need not be live can wait."""
        return self.call.speaking or (self._ear is not None and self._ear.busy)

    async def run(self) -> None:
        """Serve until :meth:`close`; raise what broke, if anything did.

        Cancelling it hangs up at once. Either way turns that were finished are
        stored and the plugins are told before it returns. A session with the same id
        that runs already ends first, with TakenOverError.
        """
        try:
            await self._take_over()
            await self._run()
        finally:
            self._over.set()
            if self.host.sessions.get(self.id) is self:
                del self.host.sessions[self.id]

    async def _take_over(self) -> None:
        earlier = self.host.sessions.get(self.id)
        self.host.sessions[self.id] = self
        if earlier is not None:
            earlier.end(TakenOverError(self.id))
            await earlier.over()

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as keeping:
                keeping.create_task(self._scribe.run(), name="scribe")
                try:
                    await self._begin()
                    await self._serve()
                except BaseException as broke:  # noqa: BLE001 - raised below, when all is kept
                    error = broke
                self._closed = True
                self.call.finish()
                deadline.reschedule(asyncio.get_running_loop().time() + CLOSING_S)
                await self._end(error)
        except TimeoutError:
            logger.error("session %s: closing took more than %g s", self.id, CLOSING_S)
        if error is not None:
            raise error

    async def _begin(self) -> None:
        host = self.host
        try:
            key = self._key
            earlier = await host.store.resume(self.id, key=key) if self._may_go_on else None
            if earlier is None:
                await host.store.begin(self.id, **self.call.names, key=key)
            else:
                self.resumed = True
                self.call.resume(earlier)
        except StoreError as unstored:
            self.call.report(unstored)  # a full disk must not silence the voice
        if host.config.store.audio and host.store.enabled:
            await self._record()
        if host.plugins.listens("event_sent") and self._config.websocket_events_enabled:
            self._speaker.observers.append(self._scribe.observe)
        await host.plugins.tell("session_started", call=self.call)

    async def _record(self) -> None:
        path = recording_path(self.host.store.path, self.id)
        try:
            recording = await Recording.open(
                path, mic_rate=self._mic.rate, rate=self.call.output_rate
            )
        except StoreError as error:
            self.call.report(error)
        else:
            self._recording = self._mic.recording = self._speaker.recording = recording

    async def _serve(self) -> None:
        try:
            # the speaker outlives the others: what they say last is still sent
            async with asyncio.TaskGroup() as outer:
                outer.create_task(self._speaker.run(), name="speaker")
                async with asyncio.TaskGroup() as inner:
                    self._tasks = inner
                    watch = inner.create_task(self._watch(), name="taken over")
                    if self._ear is not None:
                        inner.create_task(self._hear(self._ear), name="ear")
                    await self.host.strategy.converse(self.call)
                    self._tasks = None
                    watch.cancel()
                    if self._switching is not None:
                        self._switching.cancel()
                    self.close()
                await self._scribe.kept()
                self._speaker.close()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _watch(self) -> None:
        await self._ended.wait()
        assert self._ending is not None
        raise self._ending

    async def _hear(self, ear: Ear) -> None:
        await ear.run()
        self.call.hang_up()

    async def _end(self, error: BaseException | None) -> None:
        """Let the scribe finish, and note the end."""
        self._scribe.close()
        await self._scribe.kept()
        if self._recording is not None:
            await self._recording.close()
        await self.host.plugins.tell("session_ended", call=self.call, error=error)
        try:
            await self.host.store.end(self.id, type(error).__name__ if error else "ended")
        except StoreError as unstored:
            logger.error("session %s: its end is not stored: %s", self.id, unstored)

    async def _send_far(self, event: ServerEvent) -> None:
        """Send, and let the echo canceller know what the loudspeaker will play."""
        if isinstance(event, Speech):
            self._mic.processor.far(event.frame.pcm)
        await self._send(event)

    def _make_ear(self) -> Ear:
        host = self.host
        ear = Ear(
            self._mic.processor,
            host.stt if "stt" in host.needs else None,
            host.hearing.turn_probability,
            self._config.turn,
            self._mic.clock,
            self._make_interruption(),
        )
        ear.tell = self._heard
        ear.passed = self._passed
        ear.failed = self.call.report
        self.call.on_unheard = self._unheard
        return ear

    def _make_interruption(self) -> Interruption:
        config, call = self._config, self.call
        return Interruption(
            config.turn,
            lambda: call.floor if call.barge_in else None,
            answers=config.tools.yes,
            words="stt" in self.host.needs,
            at_once=lambda: not (call.can_hold and self._mic.mode == "full_duplex"),
        )

    def _heard(self, heard: Heard) -> None:
        post = self._speaker.post
        match heard:
            case SpeechStarted():
                post(UserSpeech(True))
            case Transcript(text, final):
                post(UserText(text, final))
            case SpeechEnded():
                post(UserSpeech(False))
            case Utterance(text):
                post(UserText(text, True))
        self.call.heard(heard)

    def _barge_in(self) -> None:
        if self.call.barge_in:
            self.call.interrupt()

    def _passed(self, text: str, turn: int) -> None:
        """The user said ``text`` over reply ``turn`` without wanting the floor."""
        self.call.notify("backchannel", text=text, turn=turn)

    def _reply_over(self) -> None:
        self._follow()
        if self._ear is not None:
            self._ear.reply_over()

    def _follow(self) -> None:
        if self._recording is not None:
            self._recording.follow(asyncio.get_running_loop().time())

    def _unheard(self, text: str) -> None:
        if self._ear is not None:
            self._ear.unanswered = text

    def _switch(self, model: str) -> None:
        """Begin to change the mind's model; one change at a time."""
        if self._tasks is None or self._switching is not None:
            self.call.report(EngineError(self.call.names["llm"], "is changing its model already."))
            return
        self._switching = self._tasks.create_task(self._use_model(model), name="model")

    async def _use_model(self, model: str) -> None:
        try:
            await self.host.llm.switch(model)
        except VoiceError as error:
            self.call.report(error)
        else:
            self.call.notify("model", llm=self.host.label("llm"))
        finally:
            self._switching = None

    def _typed(self, text: str) -> None:
        text = text.strip()
        if not text:
            return
        self.call.interrupt(stopped=True)
        position = self._mic.position
        now = asyncio.get_running_loop().time()
        self._heard(Utterance(text, position, position, typed=True, moment=now))

    def _ready(self, hello: Hello) -> SessionReady:
        names = self.call.names
        return SessionReady(
            session=self.id,
            strategy=names["strategy"],
            stt=names["stt"],
            tts=names["tts"],
            llm=names["llm"],
            input_rate=hello.rate,
            output_rate=self.call.output_rate,
            mode=self._mic.mode,
        )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What broke first, out of the task group's wrapping."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
