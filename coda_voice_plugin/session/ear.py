"""Writes down what the user says: voice activity in, words and turns out.

The audio room decides by samples when somebody speaks and when a pause is long
enough; this room asks the recogniser, judges by its words and by the melody how
long to wait, and tells the strategy. Sound is taken in synchronously and cheaply;
the only loop, :meth:`Ear.run`, serves the recogniser.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from ..audio import (
    AudioProcessor,
    Began,
    Continued,
    Ended,
    Floats,
    Lasted,
    Paused,
    Sound,
    Voice,
    patience,
    sentence_hint,
)
from ..config import TurnSettings
from ..engine import SpeechToText
from ..errors import EngineError, EngineTimeoutError, VoiceError
from ..events import (
    MIC_RATE,
    AudioFrame,
    Heard,
    Misheard,
    Pause,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Transcript,
    Utterance,
)
from .clock import ArrivalClock
from .hearing import Hearing, Wordless
from .interruption import Doubt, Interruption

TurnProbability = Callable[[Floats], Awaitable[float | None]]

WORDS_S = 8.0
"""Longest wait for the words of an utterance, and half of its own length on top."""
MAX_OPEN = 8
"""Utterances that wait for the recogniser; more means that it does not keep up."""


class Ear:
    """The ear of one call.

    Without ``stt`` it tells turns only: a :class:`Pause` has no text and comes as soon
    as the silence is long enough, the melody alone says how long it may be, and
    :class:`SpeechEnded` is the end of the turn.

    ``tell`` gets what is heard, in order; ``interruption`` judges speech over a reply, and
    until it counts as an interruption nothing is told of its words; ``passed`` gets the
    words of a back-channel; ``failed`` gets errors of the recogniser, after which the
    utterance is lost and the next one is heard.
    """

    def __init__(
        self,
        processor: AudioProcessor,
        stt: SpeechToText | None,
        turn_probability: TurnProbability,
        settings: TurnSettings,
        clock: ArrivalClock,
        interruption: Interruption,
    ) -> None:
        self._processor = processor
        self._stt = stt
        self._turn_probability = turn_probability
        self._settings = settings
        self._clock = clock
        self._interruption = interruption
        self._open: Hearing | None = None
        self._doubt: Doubt | None = None
        """About the open utterance, also where its words are lost."""
        self._answers: list[Utterance] = []
        """Spoken over the last words of a reply; told when that is over."""
        self._hearings: deque[Hearing] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self.tell: Callable[[Heard], None] = lambda heard: None
        self.passed: Callable[[str, int], None] = lambda text, turn: None
        self.failed: Callable[[VoiceError], None] = lambda error: None
        self.unanswered = ""
        """Words of the user whose answer was cut before it was heard: they belong to
        the utterance that cut it."""

    # Sound in: synchronous, per frame.

    def take(self, sounds: Iterable[Sound]) -> None:
        """Take what the front end made of the latest sound."""
        for sound in sounds:
            match sound:
                case AudioFrame():
                    pass
                case Voice(samples):
                    if self._doubt is not None:
                        self._doubt.grows(len(samples))
                    if self._open is not None:
                        self._grow(self._open, samples)
                case _:
                    self._turn(sound)

    @property
    def idle(self) -> bool:
        """No utterance is open, and none waits for its words."""
        return not self._hearings and not self._answers

    @property
    def busy(self) -> bool:
        """The recogniser is asked for words that decide something."""
        return any(each.needs_words or each.ended for each in self._hearings)

    def close(self) -> None:
        """No more sound: return from :meth:`run` when all is written down."""
        self._closing = True
        self._wake.set()

    def reply_over(self) -> None:
        """A reply is over, and has become history: what answered its last words is told."""
        answers, self._answers = self._answers, []
        for utterance in answers:
            self.tell(utterance)
        self._wake.set()

    def _grow(self, hearing: Hearing, samples: Floats) -> None:
        hearing.accept(samples)
        judged = hearing.paused_at is not None and hearing.judged == hearing.epoch
        if judged and (own := self._own_judgement(hearing)) is not None:
            # a recogniser that judges pauses grows surer while this one lasts
            self._wait_as_long_as(hearing, own)
        if hearing.unpublished < self._settings.partial_ms * MIC_RATE // 1000:
            return
        # a caption begun as the user falls silent would keep the final words waiting
        if hearing.is_loud(samples):
            hearing.unpublished = 0
            hearing.partial_due = True
            self._wake.set()

    def _turn(self, sound: Sound) -> None:
        if isinstance(sound, Began):
            if len(self._hearings) >= MAX_OPEN:
                label = self._stt.label if self._stt else "the model of turns"
                error = EngineError(label, "does not keep up with the speech.")
                self._lose(self._hearings[0], error)
            self._doubt = self._interruption.begins()
            self._open = Hearing(sound, self._stt.listen() if self._stt else Wordless())
            self._open.doubt = self._doubt
            self._hearings.append(self._open)
            self.tell(SpeechStarted(sound.at))
            return
        # the user speaks on, even where the words are lost because the recogniser failed
        hearing = self._open
        if isinstance(sound, Lasted):
            self._doubt = self._interruption.lasts(self._doubt, sound.ms)
            if hearing is not None:
                hearing.doubt = self._doubt
            elif self._doubt is not None:
                self._doubt.loses_words()
            return
        if self._doubt is not None:
            self._doubtful(self._doubt, sound)
        if isinstance(sound, Ended):
            self._doubt = None
            self.tell(SpeechEnded(sound.end))
        if hearing is None:
            return
        match sound:
            case Paused(at):
                hearing.epoch += 1
                hearing.paused_at = at
                self._wake.set()
                if self._stt is None and (
                    not hearing.doubt or hearing.doubt.verdict == "interrupts"
                ):
                    hearing.pause_told = True
                    self.tell(Pause("", at))
            case Continued(at):
                hearing.epoch += 1
                hearing.paused_at = None
                if hearing.pause_told:
                    hearing.pause_told = False
                    self.tell(Resumed(at))
            case Ended():
                hearing.ended = sound
                hearing.ended_time = asyncio.get_running_loop().time()
                self._open = None
                self._wake.set()

    def _doubtful(self, doubt: Doubt, sound: Sound) -> None:
        if isinstance(sound, Paused):
            doubt.pauses()
        elif isinstance(sound, Continued):
            doubt.continues()

    # Words out: the loop that serves the recogniser.

    async def run(self) -> None:
        """Serve until :meth:`close`, one utterance after the other."""
        while True:
            self._wake.clear()
            while self._hearings and await self._serve(self._hearings[0]):
                pass
            if self._closing and self.idle:
                return
            await self._wake.wait()

    async def _serve(self, hearing: Hearing) -> bool:
        """Do the most urgent work for ``hearing``; False when there is none now."""
        try:
            if hearing.needs_words:
                await self._judge(hearing)
            elif hearing.partial_due and hearing.ended is None:
                await self._caption(hearing)
            elif hearing.ended is None:
                return False
        except EngineError as error:
            if hearing in self._hearings:
                self._lose(hearing, error)
            return True
        kept = hearing in self._hearings  # else it was given up meanwhile
        if kept and hearing.ended is not None and hearing.judged == hearing.epoch:
            self._finish(hearing, hearing.ended)
        return True

    async def _counts(self, hearing: Hearing, text: str, *, final: bool) -> bool:
        """Whether these words are told: not those of a cough or a back-channel over a reply."""
        doubt = hearing.doubt
        if doubt is None:
            return True
        counts = doubt.hears(text, final=final)
        # words whose answer is cut unheard belong to these: first it must be history
        await doubt.settled()
        return counts

    async def _caption(self, hearing: Hearing) -> None:
        hearing.partial_due = False
        epoch = hearing.epoch
        text = await self._text(hearing, final=False)
        if text and hearing.epoch == epoch and hearing.ended is None:
            counts = await self._counts(hearing, text, final=False)
            if counts and hearing.epoch == epoch and hearing.ended is None:
                self.tell(Transcript(self._whole(text)))

    async def _judge(self, hearing: Hearing) -> None:
        """Ask for the words at a pause, and decide how long this pause may be."""
        epoch = hearing.epoch
        hearing.partial_due = False
        async with asyncio.TaskGroup() as tasks:
            melody = tasks.create_task(self._melody(hearing))
            words = tasks.create_task(self._final_or_error(hearing))
        found = words.result()
        if isinstance(found, EngineError):
            raise found
        if hearing.epoch != epoch:
            return  # the user went on speaking meanwhile
        hearing.judged = epoch
        hearing.text = found
        hearing.text_time = asyncio.get_running_loop().time()
        counts = await self._counts(hearing, found, final=True)
        if hearing.epoch != epoch or hearing.ended is not None:
            return
        if found and counts:
            hearing.pause_told = True
            assert hearing.paused_at is not None
            self.tell(Transcript(self._whole(found)))
            self.tell(Pause(self._whole(found), hearing.paused_at))
        own = self._own_judgement(hearing)
        self._wait_as_long_as(hearing, melody.result() if own is None else own)

    async def _final_or_error(self, hearing: Hearing) -> str | EngineError:
        """The final words; an engine's error as a value, to keep it out of the task group."""
        try:
            return await self._text(hearing, final=True)
        except EngineError as error:
            return error

    async def _text(self, hearing: Hearing, *, final: bool) -> str:
        """Ask the recogniser; one that is silent must not keep the user waiting for ever."""
        heard_s = (self._processor.position - hearing.start) / MIC_RATE
        limit = asyncio.timeout(WORDS_S + heard_s / 2)
        try:
            async with limit:
                return await hearing.recognition.text(final=final)
        except TimeoutError as error:
            if not limit.expired():
                raise
            label = self._stt.label if self._stt else "the model of turns"
            raise EngineTimeoutError(label, "does not tell the words of the speech.") from error

    def _wait_as_long_as(self, hearing: Hearing, probability: float | None) -> None:
        """Let the words and ``probability`` say how long this pause may be."""
        hint = sentence_hint(hearing.text) if self._settings.text_hint else "unsure"
        self.take(self._processor.set_patience(patience(self._settings, hint, probability)))

    async def _melody(self, hearing: Hearing) -> float | None:
        """What Smart Turn thinks, if nobody knows better."""
        if hearing.ended is not None or self._own_judgement(hearing) is not None:
            return None
        return await self._turn_probability(hearing.tail)

    def _own_judgement(self, hearing: Hearing) -> float | None:
        """What the recogniser itself thinks; in place of Smart Turn, which does not hear words."""
        return hearing.recognition.turn_probability if self._settings.acoustic_hint else None

    def _finish(self, hearing: Hearing, ended: Ended) -> None:
        self._forget(hearing)
        doubt = hearing.doubt
        if doubt is not None and doubt.verdict == "passes":
            if hearing.text:
                self.passed(hearing.text, doubt.reply.turn)
            return
        text = self._whole(hearing.text)
        self.unanswered = ""
        if not text:
            return
        moment = self._clock.when(ended.end)
        times = {"endpoint": hearing.ended_time, "stt": hearing.text_time}
        utterance = Utterance(
            text,
            ended.start,
            ended.end,
            moment=moment,
            timings_ms={"capture": self._clock.length_ms(ended.end)}
            | {name: round(1000 * (at - moment), 1) for name, at in times.items()},
        )
        if doubt is not None and doubt.waits:
            self._answers.append(utterance)
            return
        self.reply_over()  # in order
        self.tell(utterance)

    def _lose(self, hearing: Hearing, error: EngineError) -> None:
        """The words of ``hearing`` will never be known."""
        self._forget(hearing)
        if hearing.doubt is not None:
            hearing.doubt.loses_words()
        self.failed(error)
        self.tell(Misheard(error))

    def _forget(self, hearing: Hearing) -> None:
        self._hearings.remove(hearing)
        hearing.recognition.close()
        if self._open is hearing:
            self._open = None

    def _whole(self, text: str) -> str:
        return " ".join(filter(None, (self.unanswered, text)))
