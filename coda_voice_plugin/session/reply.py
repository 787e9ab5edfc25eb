"""One answer: a mouth that can be cut off, and that knows what was heard.

A reply is *drafted* (written and synthesized, not heard), *released* (its turn
has come), and *over*: played to its end, or interrupted. It is a cancel scope: an
interruption ends its ``async with`` block early and leaves the strategy running.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import VoiceError
from ..events import AudioFrame, SpeakingStyle, Stage, Turn, Utterance, Word
from ..speakable import ClauseSplitter
from .apology import apology, engine_failure
from .playback import Playback
from .stages import Stages
from .synthesis import scaled, speak

if TYPE_CHECKING:
    from .call import Call

logger = logging.getLogger(__name__)

BUFFER_S = 10.0
"""Speech kept ready beyond what was sent; then :meth:`Reply.play` waits, and what is said next."""
LONG_TEXT_S = 30.0
"""The same within one text that is said."""
FINAL_REPORT_S = 0.25
"""How long an interrupted client may take to say where it stopped, beyond what its reports
were late before."""
MOST_LAG_S = 2.0
"""Reports that are later than this are not waited for."""


class Reply:
    """An answer in the making. Made by ``call.reply()`` or ``call.draft()``."""

    def __init__(self, call: Call, utterance: Utterance | None) -> None:
        self._call = call
        self.utterance = utterance
        self.turn = 0
        """Its number; 0 until released."""
        self.style = SpeakingStyle()
        self.generated = ""
        self.error: str | None = None
        self.interrupted = False
        self.stopped = False
        """The user pressed stop: the turn is over, not merely talked over."""
        self.written = False
        """Nothing more will be added."""
        self.end_sent = False
        self.hold_told = False
        """The client stands still for it."""
        self.reported = call.reports_playback
        self.reported_at = 0.0
        """When the client reported last."""
        self.playback = Playback(call.output_rate, reported=self.reported)
        self.closed = asyncio.Event()
        self.on_cut: Callable[[], None] = lambda: None
        """Called at once when it is cut, for whoever makes its sound outside of its block."""
        self._holds = 0
        self._later: list[Utterance] = []  # answered too, after what it began with
        self._failure: VoiceError | None = None
        self.names: dict[str, str] = {}
        """Who answers: ``strategy``, ``stt``, ``llm``, ``tts``. As configured, once released;
        a strategy whose mind is another one says so here."""
        self._chunks: deque[memoryview] = deque()
        self._total = 0  # samples given to play()
        self._captioned = 0  # words already sent as captions
        self._content_at: int | None = None  # where the answer begins, behind an opener
        self._stages = Stages(self._tell_stage)
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._released = asyncio.Event()
        self._report = asyncio.Event()
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._cancel_sent = False

    # What a strategy uses.

    async def __aenter__(self) -> Reply:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self.interrupted:
            self._cancel_body()  # cut before it began: the block ends at its first await
        elif self.utterance is not None and not self.is_released:
            await self.release(self.utterance)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None
        ours = self._cancel_sent and task.uncancel() <= self._cancelling
        handled = error is None or (ours and isinstance(error, asyncio.CancelledError))
        failure = engine_failure(error)
        handled = handled or failure is not None
        try:
            if failure is not None and not self.interrupted:
                await self._apologise(failure)
            self.written = True
            if handled and self._needs_listener():
                self._call.speaker.nudge()
                await self._over.wait()
                await self._final_report()
        finally:
            self._close()
        return handled

    async def release(self, utterance: Utterance) -> None:
        """The turn is confirmed: let what was drafted be heard, and what follows."""
        await self._call.take_floor(self, utterance)

    def answers(self, utterance: Utterance) -> None:
        """Note what this answers, where it began before the words were known.

        Timings count from that utterance's ``moment``. What is given after another
        utterance is added to the same turn. Raises VoiceError when the reply is over:
        its turn is stored, and those words want a reply of their own.
        """
        if self.closed.is_set():
            raise VoiceError(
                f"reply {self.turn} is over; open one with call.reply(utterance) for what it "
                "did not answer."
            )
        if self.utterance is None or not self.utterance.text:
            self.utterance = utterance
        else:
            self._later.append(utterance)

    @property
    def answered(self) -> bool:
        """Whether it is known what it answers."""
        return self.utterance is not None and bool(self.utterance.text)

    async def confirmed(self) -> None:
        """Wait until released: before doing what cannot be undone."""
        await self._released.wait()

    @property
    def is_released(self) -> bool:
        return self._released.is_set()

    async def say(self, text: str) -> None:
        """Speak ``text`` (a clause or a few sentences). Returns when it is queued.

        What is written is made sayable first: numbers become words, markdown and
        emoji are left out; captions show what was written. Raises EngineError;
        inside the block that ends the reply, not the call.
        """
        await self._wait_for_room()
        begin = self._total
        async with aclosing(self.voice(text)) as pieces:
            async for pcm, words in pieces:
                # Its words come with its last piece, and who is interrupted early must have
                # them: so it may be further ahead in its middle than between two texts.
                await self._wait_for_room(LONG_TEXT_S)
                self._queue(pcm)
                self._add_words(tuple(scaled(word, 1.0, begin) for word in words))

    async def voice(self, text: str) -> AsyncGenerator[tuple[bytes, tuple[Word, ...]], None]:
        """The sound of ``text`` as :meth:`say` would speak it, for who has it made ahead of
        its turn or plays it himself: PCM16 at ``call.output_rate`` and, with the last piece,
        the words, whose places count from the first sample. Raises EngineError."""
        made = speak(self._call.host, text, self.style, self._call.output_rate)
        async with aclosing(made) as pieces:
            async for piece in pieces:
                self.mark("tts_first_audio")
                yield piece

    async def stream(self, pieces: AsyncGenerator[str, None]) -> None:
        """Speak text as it is written: each clause as soon as it is whole.

        Closes ``pieces`` in the end, so an interruption stops who writes them.
        """
        splitter = ClauseSplitter()
        async with aclosing(pieces):
            async for piece in pieces:
                self.mark("llm_first_token")
                self.generated += piece
                for clause in splitter.push(piece):
                    self.begins_content()
                    await self.say(clause)
        for clause in splitter.finish():
            self.begins_content()
            await self.say(clause)

    async def play(self, sound: bytes | AudioFrame, words: tuple[Word, ...] = ()) -> None:
        """Queue raw sound (PCM16 mono at ``call.output_rate``); waits while
        :data:`BUFFER_S` are ready. ``words`` count from its first sample. Once the reply
        is cut, nothing more of it is heard and this returns at once."""
        pcm = sound.pcm if isinstance(sound, AudioFrame) else sound
        if pcm:
            await self._wait_for_room()
        self._add_words(tuple(scaled(word, 1.0, self._total) for word in words))
        self._queue(pcm)

    async def _wait_for_room(self, seconds: float = BUFFER_S) -> None:
        while self._total - self.playback.sent > seconds * self._call.output_rate:
            if self._over.is_set():
                break
            self._room.clear()
            await self._room.wait()

    def _queue(self, pcm: bytes) -> None:
        self._total += len(pcm) // 2
        if pcm and not self._over.is_set():
            self._chunks.append(memoryview(pcm))
            self._call.speaker.nudge()

    @property
    def samples(self) -> int:
        """Samples given to it so far, heard or not."""
        return self._total

    def begins_content(self) -> None:
        """What is given from here on is the answer itself, not an opener: the turn's timing
        ``first_content`` counts to the moment at which it is sent."""
        if self._content_at is None:
            self._content_at = self._total

    @property
    def has_content(self) -> bool:
        """Whether something of the answer itself was given, heard or not."""
        return self._content_at is not None

    def mark(self, name: str) -> None:
        """Note when ``name`` happened first, for the turn's timings; the client is told."""
        self._stages.mark(name, asyncio.get_running_loop().time())

    def cut(self, *, stopped: bool = False) -> None:
        """Interrupt: the block ends, nothing more is heard. Does nothing when over."""
        if self._over.is_set() or self.interrupted or self.closed.is_set():
            return
        self.interrupted = True
        self.stopped = stopped
        # freeze the estimate: what was sent ahead is flushed at the client
        now = asyncio.get_running_loop().time()
        self.playback.stop(now)
        self._chunks.clear()
        if self.is_released:
            self._call.speaker.flush(self)
        self._over.set()
        self._room.set()
        if self._task is not None:
            self._cancel_body()
        self.on_cut()

    # What who judges an interruption uses.

    def hold(self) -> None:
        """Stand still until :meth:`go_on` was called as often; what is made meanwhile waits."""
        self._holds += 1
        if self._holds == 1 and not self.over:
            self.playback.hold(asyncio.get_running_loop().time())
            self._call.speaker.hold(self)

    def go_on(self) -> None:
        """Take back one :meth:`hold`: sound goes on where it stopped."""
        self._holds -= 1
        if self._holds == 0 and not self.over:
            self.playback.go_on(asyncio.get_running_loop().time())
            self._call.speaker.go_on(self)

    @property
    def held(self) -> bool:
        return self._holds > 0

    @property
    def over(self) -> bool:
        """It was cut, or heard to its end."""
        return self._over.is_set()

    @property
    def left_s(self) -> float | None:
        """Seconds of it that are not heard yet; None while more may be written."""
        if not self.written:
            return None
        position = self.playback.position(asyncio.get_running_loop().time())
        return max(0, self._total - position) / self.playback.rate

    # What the speaker and the call use.

    @property
    def has_audio(self) -> bool:
        return bool(self._chunks)

    def next_samples(self, most: int) -> int:
        """Samples of the frame that :meth:`take` would give."""
        return min(len(self._chunks[0]), most) // 2

    def take(self, most: int) -> AudioFrame:
        """The next frame to send: at most ``most`` bytes."""
        head = self._chunks[0]
        if len(head) > most:
            self._chunks[0] = head[most:]
        else:
            self._chunks.popleft()
        self._room.set()
        return AudioFrame(bytes(head[:most]), self._call.output_rate, self.playback.sent)

    def words_before(self, position: int) -> tuple[Word, ...]:
        """Words not captioned yet that begin before ``position``."""
        words = self.playback.words
        begin = self._captioned
        while self._captioned < len(words) and words[self._captioned].start < position:
            self._captioned += 1
        return tuple(words[begin : self._captioned])

    def sent(self) -> None:
        """A frame has just left for the client."""
        self.mark("first_audio")
        if self._content_at is not None and self.playback.sent > self._content_at:
            self.mark("first_content")

    def finish(self) -> None:
        """It has been played to its end."""
        self._over.set()

    def played(self, samples: int, *, final: bool) -> None:
        """The client reports its position; ``final`` in answer to a flush."""
        self.playback.report(samples, final=final)
        self.reported_at = asyncio.get_running_loop().time()
        if final:
            self._report.set()
        self._call.speaker.nudge()

    def began(self, turn: int, utterance: Utterance) -> None:
        """It has the floor now, as number ``turn``."""
        self.turn = turn
        if self.utterance is None:
            self.utterance = utterance
        self.names = self._call.names
        if self._failure is not None:
            self._call.report(self._failure)
        self._released.set()
        self._stages.begin(self.utterance)

    def summary(self) -> Turn:
        """What came of it. Timings count from when the user's last speech sample arrived."""
        assert self.utterance is not None
        now = asyncio.get_running_loop().time()
        answered = [self.utterance, *self._later]
        return Turn(
            index=self.turn,
            user=" ".join(filter(None, (each.text for each in answered))),
            assistant=self.playback.heard(now),
            generated=self.generated or " ".join(word.text for word in self.playback.words),
            interrupted=self.interrupted,
            error=self.error,
            typed=self.utterance.typed,
            timings_ms=self._stages.timings(self.utterance),
            heard_ms=round(1000 * self.playback.position(now) / self.playback.rate, 1),
            spoken_ms=round(sum(each.end - each.start for each in answered) / 16, 1),
            **self.names,
        )

    def _tell_stage(self, stage: str, ms: float) -> None:
        self._call.speaker.post(Stage(self.turn, stage, ms))

    async def _apologise(self, failure: VoiceError) -> None:
        """Say that the answer failed; a draft that is never heard says nothing to anyone."""
        self.error = failure.code
        self._failure = failure
        call = self._call
        if self.is_released:
            call.report(failure)
        if not call.config.trouble.spoken or "tts" not in call.host.needs:
            return
        # an opener ("Let me see.") is no beginning of an answer
        begun = self._total > 0 and "llm_first_token" in self._stages
        text = apology(failure, call.host.label("llm"), begun=begun)
        try:
            await self.say(text)
        except VoiceError:
            logger.warning("session %s: the voice cannot say what failed", call.id)

    def _needs_listener(self) -> bool:
        return self.is_released or not self.interrupted

    async def _final_report(self) -> None:
        if self.interrupted and self.reported and self.playback.sent:
            try:
                async with asyncio.timeout(FINAL_REPORT_S + min(self.playback.lag_s, MOST_LAG_S)):
                    await self._report.wait()
            except TimeoutError:
                pass  # then the last position that was reported stands

    def abandon(self) -> None:
        """The call is over: whatever state it is in, end it and record what was heard."""
        self._close()

    def _close(self) -> None:
        if not self._over.is_set():
            self.cut()  # hung up, or a bug in the block: nothing more may be heard
        if not self.closed.is_set():
            self.closed.set()
            if self.is_released:
                self._call.close_turn(self)

    def _cancel_body(self) -> None:
        if self._task is not None and not self._cancel_sent:
            self._cancel_sent = True
            self._task.cancel()

    def _add_words(self, words: tuple[Word, ...]) -> None:
        self.playback.words.extend(words)
