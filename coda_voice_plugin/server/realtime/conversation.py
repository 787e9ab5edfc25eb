"""A Realtime conversation: what the client asks for, and what the session says, as events.

The client sees items and responses, the session utterances and replies. An answer that calls
a function is one reply and two responses: it stands still until the client has created the
second one. No I/O; events are posted.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import EngineError, VoiceError
from ...events import (
    AudioFrame,
)
from ...host import Host
from ...session import Session
from ...wire.realtime import (
    Append,
    Clear,
    ClientMessage,
    Commit,
    ItemCreate,
    ItemDelete,
    ItemRetrieve,
    ItemTruncate,
    Part,
    Refusal,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    error_fields,
)
from ...wire.realtime.audio import FORMATS, read_sound
from ...wire.realtime.items import Item, read_item
from ...wire.realtime.session import (
    AnswerSettings,
    SessionSettings,
    update_response,
    update_session,
)
from .answers import Answers
from .dictation import Dictation
from .host import CallHost
from .listening import Listening
from .response import Post

TOOL_S = 120.0
"""Seconds that the client has for a function; then the mind is told that it takes too long."""


def check(answer: AnswerSettings, host: Host) -> None:
    """Raise Refusal where the strategy cannot give an answer of that kind."""
    name = host.strategy.name
    if answer.tools and not ("llm" in host.needs and host.llm.supports_tools):
        message = f"the strategy {name!r} with its model calls no functions; leave tools empty."
        raise Refusal("not_supported", message, "session.tools")
    if answer.text and "tts" not in host.needs:
        message = f"the strategy {name!r} does not write; use output_modalities audio."
        raise Refusal("not_supported", message, "session.output_modalities")


class Conversation:
    """One conversation of one client."""

    def __init__(
        self,
        session: Session,
        host: CallHost,
        settings: SessionSettings,
        post: Post,
        new_id: Callable[[str], str],
    ) -> None:
        self._session = session
        self._call = session.call
        self._host = host
        self._settings = settings
        self._post = post
        self._new_id = new_id
        self.answers = Answers(session, host, settings.answer, post, new_id)
        self._items = self.answers.items
        self._kept_from_barging = False
        rate = FORMATS[settings.input]
        self._rate = rate
        self.dictation: Dictation | None = None
        if "stt" in host.needs:
            most_s = host.config.turn.max_utterance_s
            self.dictation = Dictation(host.stt, rate, most_s, self._dictated)
        self._listening = Listening(
            post,
            self._items,
            new_id,
            host.config.turn.pre_roll_ms,
            speaking=lambda: self._call.speaking,
            answers=self._answers_itself,
            committed=self._committed,
        )
        self._call.filter = self._listening.hears
        merge = self._call.on_unheard

        def unheard(text: str) -> None:
            self._listening.unheard(text)
            merge(text)

        self._call.on_unheard = unheard
        self.answers.interrupts = self._listening.interrupts
        self.answers.ready = lambda: self.dictation is None or not self.dictation.busy
        self._let_barge_in()

    # What the client asks for.

    def take(self, message: ClientMessage, event_id: str | None) -> None:
        """Do what a message asks for; raises Refusal."""
        try:
            self._take(message)
        except Refusal as refusal:
            refusal.event_id = event_id
            raise
        except EngineError as error:  # the recogniser has no place
            fields = error_fields(error.code, str(error), event_id=event_id, kind="server_error")
            self._post("error", **fields)

    def _take(self, message: ClientMessage) -> None:
        match message:
            case Append(audio):
                self._hear(read_sound(audio, self._settings.input))
            case Commit():
                self._commit()
            case Clear():
                self._dictating().clear()
                self._post("input_audio_buffer.cleared")
            case SessionUpdate(part):
                self._update(part)
            case ItemCreate(part, after):
                self._create(read_item(part, self._new_id("item")), after)
            case ItemRetrieve(item_id):
                item = self._items.get(item_id)
                self._post("conversation.item.retrieved", item=item.as_dict())
            case ItemTruncate(item_id, ms):
                self.answers.truncate(self._items.get(item_id), ms)
            case ItemDelete(item_id):
                self._delete(self._items.get(item_id))
            case ResponseCreate(options):
                self._respond(options)
            case ResponseCancel(response_id):
                self._cancel(response_id)

    def _update(self, part: Part) -> None:
        settings = update_session(self._settings, part, self._host.config.language)
        check(settings.answer, self._host)
        now = self._settings
        if settings.input != now.input:
            raise _fixed("session.audio.input.format")
        if settings.noise_reduction != now.noise_reduction:
            raise _fixed("session.audio.input.noise_reduction")
        if settings.turns is None:
            self._ear()
        elif now.turns is not None and settings.turns.timing != now.turns.timing:
            raise _fixed("session.audio.input.turn_detection")
        self._settings = settings
        self._let_barge_in()
        if settings.turns is None and now.turns is not None:
            self._end_of_speech()
        elif settings.turns is not None and self.dictation is not None:
            self.dictation.clear()
        self.answers.set(settings.answer)
        self._post("session.updated", session=settings.as_dict())

    def _hear(self, pcm: bytes) -> None:
        if not pcm:
            return
        if self._settings.turns is None:
            self._dictating().append(pcm)
        else:
            self._session.receive(AudioFrame(pcm, self._rate))

    def _commit(self) -> None:
        dictation = self._dictating()
        dictation.ready()
        item = Item(self._new_id("item"), "message", "user", None, sound=True)
        dictation.commit(item)
        self._add(item)

    def _create(self, item: Item, after: str | None) -> None:
        if item.kind == "function_call_output":
            self._items.of_call(item.call_id)
        previous = self._items.add(item, after)
        self._tell_item(item, previous)
        if item.kind != "function_call_output" or not self.answers.result(item):
            self.answers.retell()

    def _delete(self, item: Item) -> None:
        self.answers.forget(item)
        self._post("conversation.item.deleted", item_id=item.id)

    def _respond(self, options: Part) -> None:
        self._ear()
        active = self.answers.response
        if active is not None:
            message = f"the response {active.id!r} is not done yet; cancel it, or wait."
            raise Refusal("conversation_already_has_active_response", message)
        settings, metadata = update_response(self._settings.answer, options)
        check(settings, self._host)
        self.answers.create(settings, metadata)

    def _cancel(self, response_id: str | None) -> None:
        response = self.answers.response
        if response is None or response_id not in (None, response.id):
            message = "there is no such response to be cancelled."
            raise Refusal("response_cancel_not_active", message, "response_id")
        self.answers.stop()

    # The user.

    def _answers_itself(self) -> bool:
        """Whether what the user says is answered without being asked for."""
        turns = self._settings.turns
        if turns is None or not turns.create_response:
            return False
        return self.answers.response is None or turns.interrupt_response

    def _committed(self, item: Item, seconds: float, error: VoiceError | None) -> None:
        """The user has said ``item``, and its words are known, or lost."""
        self.answers.running.add(item.id)
        self._add(item)
        self._tell_words(item, seconds, error)

    def _dictated(self, item: Item, text: str, error: VoiceError | None) -> None:
        item.text = text
        self._tell_words(item, 0.0, error)
        self.answers.ask()

    def _add(self, item: Item) -> None:
        previous = self._items.add(item)
        kind = "input_audio_buffer.committed"
        self._post(kind, previous_item_id=previous, item_id=item.id)
        self._tell_item(item, previous)

    def _tell_item(self, item: Item, previous: str | None) -> None:
        for kind in ("added", "done"):
            item_now = item.as_dict()
            self._post(f"conversation.item.{kind}", previous_item_id=previous, item=item_now)

    def _tell_words(self, item: Item, seconds: float, error: VoiceError | None) -> None:
        if self._settings.transcription is None and error is None:
            return
        kind = "conversation.item.input_audio_transcription"
        place = {"item_id": item.id, "content_index": 0}
        if error is not None:
            failure = {"type": "server_error", "code": error.code, "message": str(error)}
            self._post(f"{kind}.failed", error={**failure, "param": None}, **place)
            return
        if item.text:
            self._post(f"{kind}.delta", delta=item.text, **place)
        usage = {"type": "duration", "seconds": round(seconds, 3)}
        self._post(f"{kind}.completed", transcript=item.text or "", usage=usage, **place)

    def _let_barge_in(self) -> None:
        """Whether speech interrupts; a strategy that yields by itself is left to it."""
        turns = self._settings.turns
        wanted = turns is not None and turns.interrupt_response
        if not wanted and self._call.barge_in:
            self._call.barge_in, self._kept_from_barging = False, True
        elif wanted and self._kept_from_barging:
            self._call.barge_in, self._kept_from_barging = True, False

    def _end_of_speech(self) -> None:
        """From now on the client says when a turn ends: end the one that is open."""
        ms = self._host.config.audio.silence_duration_ms + 200
        self._session.receive(AudioFrame(bytes(2 * self._rate * ms // 1000), self._rate))

    def _ear(self) -> Dictation:
        if self.dictation is None:
            name = self._host.strategy.name
            message = f"the strategy {name!r} listens and answers by itself, not when it is asked."
            raise Refusal("not_supported", message)
        return self.dictation

    def _dictating(self) -> Dictation:
        dictation = self._ear()
        if self._settings.turns is not None:
            message = "the server ends the turns; set turn_detection to null to do it yourself."
            raise Refusal("not_supported", message, "session.audio.input.turn_detection")
        return dictation


def _fixed(param: str) -> Refusal:
    message = f"{param} can change only before the first message that is no session.update."
    return Refusal("not_supported", message, param)
