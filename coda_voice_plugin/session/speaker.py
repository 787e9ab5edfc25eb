"""The one writer to the client: events in order, speech in pace.

Speech leaves at the speed at which it is heard, at most :data:`LEAD_S` ahead, so
that an interruption takes back almost everything, and so that a client without
position reports is still estimated well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from ..errors import WireError
from ..events import Caption, Flush, Held, ServerEvent, Speech, SpeechEnd, StateChanged
from .recording import Recording
from .reply import Reply

Send = Callable[[ServerEvent], Awaitable[None]]

LEAD_S = 0.2
REPORT_GRACE_S = 1.0
"""A client that reports playback may lag behind the estimate by this much."""
UNHEARD_S = 1.2
"""Sound that a client which reports its position may have before it: what it has not played
by then waits here, where an interruption takes it back, and not in the network."""
SILENT_S = 3.0
"""A client that stopped reporting is waited for so long, and then no more."""
FROZEN_S = 15.0
"""So long where nothing else came of it either: its line stands still, and it may come back."""
MAX_EVENTS = 1_000
"""Events waiting for a client that does not read; then the session ends."""


class Speaker:
    """Delivers one session's events and speech. Its only loop is :meth:`run`."""

    def __init__(self, send: Send, frame_samples: int, lead_s: float = LEAD_S) -> None:
        self._send = send
        self._lead_s = lead_s
        self._frame_bytes = 2 * frame_samples
        self._events: deque[ServerEvent] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self.reply: Reply | None = None
        """The released reply that sounds now, or is about to."""
        self._parked = False
        self._parked_reply: Reply | None = None
        self.heard_at = 0.0
        """When something came of the client."""
        self.recording: Recording | None = None
        self.observers: list[Callable[[ServerEvent], None]] = []
        """Called with every event but Speech, after it was sent."""

    def post(self, event: ServerEvent) -> None:
        """Send ``event`` after everything posted before it. Never waits."""
        if len(self._events) >= MAX_EVENTS:
            raise WireError(f"the client left {MAX_EVENTS} events unread; the session ends.")
        self._events.append(event)
        self._wake.set()

    def start(self, reply: Reply) -> None:
        """Let ``reply`` sound. The one before must be over."""
        self.reply = reply
        self._wake.set()

    def park(self) -> None:
        """The client is away: nothing sounds, and no time passes, until :meth:`unpark`."""
        if not self._parked:
            self._parked, self._parked_reply = True, self.reply
            if self.reply is not None:
                self.reply.hold()

    def unpark(self) -> None:
        """The client is back."""
        if self._parked:
            reply, self._parked_reply = self._parked_reply, None
            if reply is not None:
                reply.go_on()
            self._parked = False
            self._wake.set()

    def hold(self, reply: Reply) -> None:
        """Let ``reply`` stand still where it is."""
        if self.reply is reply and reply.playback.sent and not self._parked:
            reply.hold_told = True
            self.post(Held(reply.turn, True))

    def go_on(self, reply: Reply) -> None:
        """Let ``reply`` sound again."""
        if reply.hold_told:
            reply.hold_told = False
            self.post(Held(reply.turn, False))
        self._wake.set()

    def flush(self, reply: Reply) -> None:
        """Stop ``reply`` where it is."""
        if self.reply is reply:
            self.reply = None
            self.post(Flush(reply.turn))

    def nudge(self) -> None:
        """Look again: more sound is there, or the client has reported."""
        self._wake.set()

    def close(self) -> None:
        """Return from :meth:`run` when all posted events have been sent."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until :meth:`close`."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            await self._send_events()
            wait = await self._speak(loop.time())
            if self._events or wait == 0.0:
                continue
            if self._closing:
                return
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _send_events(self) -> None:
        while self._events:
            event = self._events.popleft()
            await self._send(event)
            for observe in self.observers:
                observe(event)

    async def _speak(self, now: float) -> float | None:
        """Send a frame if it is time; return the seconds until there is more to do."""
        reply = self.reply
        if reply is None or reply.held or self._parked:
            return None
        playback = reply.playback
        ahead = playback.ahead(now)
        if reply.has_audio:
            # without an epsilon the timer may fire a rounding error too early, for ever
            if ahead > self._lead_s + 1e-6:
                return ahead - self._lead_s
            if playback.unheard > UNHEARD_S * playback.rate:
                wait = self._patience(reply) - now
                if wait > 1e-6:
                    return wait  # its next report wakes us sooner
            await self._send_frame(reply, now)
            return 0.0
        if not reply.written:
            return None
        return self._finish(reply, now)

    async def _send_frame(self, reply: Reply, now: float) -> None:
        if reply.playback.sent == 0:
            self.post(StateChanged("speaking"))
        end = reply.playback.sent + reply.next_samples(self._frame_bytes)
        if words := reply.words_before(end):
            self.post(Caption(reply.turn, words))
        await self._send_events()
        if self.reply is not reply or reply.held or self._parked:
            return  # interrupted while the events were sent
        frame = reply.take(self._frame_bytes)
        reply.playback.send(frame.samples, now)
        if self.recording is not None:
            self.recording.spoken(reply.turn, frame, reply.playback, now)
        reply.sent()
        await self._send(Speech(reply.turn, frame))

    def _finish(self, reply: Reply, now: float) -> float | None:
        playback = reply.playback
        if not reply.end_sent:
            reply.end_sent = True
            words = reply.words_before(playback.sent + 1)
            if words:
                self.post(Caption(reply.turn, words))
            if playback.sent:
                self.post(SpeechEnd(reply.turn, playback.sent))
            return 0.0
        left = playback.until - now
        if reply.reported:
            left += REPORT_GRACE_S + playback.lag_s
            if self._frozen(reply):
                left = max(left, self._patience(reply) - now)
        if playback.position(now) >= playback.sent or left <= 1e-6:
            self.reply = None
            reply.finish()
            return 0.0
        return left

    def _patience(self, reply: Reply) -> float:
        """When the next report of ``reply`` is waited for no longer."""
        return reply.reported_at + (FROZEN_S if self._frozen(reply) else SILENT_S)

    def _frozen(self, reply: Reply) -> bool:
        """Whether nothing has come of the client since its last report."""
        return reply.reported_at > 0 and self.heard_at <= reply.reported_at
