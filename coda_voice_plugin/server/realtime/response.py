"""One response of a Realtime session: what the client is told of one answer, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal, Protocol

from ...audio import Resampler, to_floats, to_pcm
from ...events import Problem, Word
from ...session.context import estimated_tokens
from ...session.playback import words_until
from ...wire.realtime.audio import FORMATS, write_sound
from ...wire.realtime.items import Item, Items
from ...wire.realtime.session import AnswerSettings, format_as_dict

Status = Literal["completed", "cancelled", "failed"]


class Post(Protocol):
    """Tells the client an event."""

    def __call__(self, kind: str, **fields: Any) -> None: ...


@dataclass(slots=True)
class Spoken:
    """The sound of one message, as a part of a reply."""

    item: Item
    turn: int
    begin: int
    """First sample of it in the reply."""
    end: int
    words: list[Word] = field(default_factory=list)
    """Places count from the reply's first sample."""
    truncated_at: int | None = None
    """Where in the reply the client says that it stopped."""

    def heard(self, position: int) -> str:
        """The words that had sounded when the reply was at ``position``."""
        return words_until(self.words, position)


class Response:
    """The answer that is given now, or will be: ``turn`` is 0 until its reply has begun."""

    def __init__(
        self,
        response_id: str,
        post: Post,
        items: Items,
        settings: AnswerSettings,
        metadata: dict[str, str],
        rate: int,
        read: int,
    ) -> None:
        self.id = response_id
        self.settings = settings
        self.turn = 0
        self.spoken: Spoken | None = None
        self.failure: Problem | None = None
        self.done_at: int | None = None
        """It is done when the reply has sent so many samples: a function was called then."""
        self._post = post
        self._items = items
        self._metadata = metadata
        self._read = read
        self._output: list[Item] = []
        self._resampler = Resampler(rate, FORMATS[settings.output])
        self._post("response.created", response=self._as_dict("in_progress"))

    def say(self, item_id: str, turn: int, begin: int, words: Sequence[Word]) -> None:
        """``words`` are about to sound in reply ``turn``; the message begins at ``begin``."""
        spoken = self._message(item_id, turn, begin)
        spoken.words += words
        text = " ".join(word.text for word in words)
        delta = f" {text}" if spoken.item.text else text
        spoken.item.text = (spoken.item.text or "") + delta
        self._tell("output_text.delta" if self.settings.text else self._transcript, delta=delta)

    def sound(self, item_id: str, turn: int, start: int, pcm: bytes) -> None:
        """Sound of reply ``turn``, from sample ``start`` on."""
        spoken = self._message(item_id, turn, start)
        spoken.end = start + len(pcm) // 2
        if not self.settings.text:
            self._give(to_pcm(self._resampler.push(to_floats(pcm))))

    def call(self, item: Item) -> None:
        """The mind calls a function of the client."""
        arguments, item.arguments, item.status = item.arguments, "", "in_progress"
        self._add(item)
        item.arguments, item.status = arguments, "completed"
        place = {"item_id": item.id, "output_index": self._output.index(item)}
        kind = "response.function_call_arguments"
        call = {"response_id": self.id, "call_id": item.call_id, **place}
        self._post(f"{kind}.delta", delta=arguments, **call)
        self._post(f"{kind}.done", name=item.name, arguments=arguments, **call)
        self._finish(item)

    def finish(self, status: Status, reason: str | None = None) -> None:
        """Nothing more belongs to it."""
        if self.failure is not None and status == "completed":
            status = "failed"
        if self.spoken is not None:
            self._finish_message(self.spoken, status)
        self._post("response.done", response=self._as_dict(status, reason))

    @property
    def output(self) -> list[Item]:
        return self._output

    @property
    def _transcript(self) -> str:
        return "output_audio_transcript.delta"

    def _message(self, item_id: str, turn: int, begin: int) -> Spoken:
        if self.spoken is None:
            sound = not self.settings.text
            item = Item(item_id, "message", "assistant", "", sound, "in_progress")
            self.spoken = Spoken(item, turn, begin, begin)
            self._add(item)
            part = {"type": "audio", "transcript": ""} if sound else {"type": "text", "text": ""}
            self._tell("content_part.added", part=part)
        return self.spoken

    def _finish_message(self, spoken: Spoken, status: Status) -> None:
        item, text = spoken.item, spoken.item.text or ""
        if self.settings.text:
            self._tell("output_text.done", text=text)
            part = {"type": "text", "text": text}
        else:
            self._give(to_pcm(self._resampler.finish()))
            self._tell("output_audio.done")
            self._tell("output_audio_transcript.done", transcript=text)
            part = {"type": "audio", "transcript": text}
        self._tell("content_part.done", part=part)
        item.status = "incomplete" if status == "cancelled" else "completed"
        self._finish(item)

    def _give(self, pcm: bytes) -> None:
        if pcm:
            delta = write_sound(pcm, self.settings.output)
            self._tell("output_audio.delta", delta=delta)

    def _add(self, item: Item) -> None:
        self._output.append(item)
        previous = self._items.add(item)
        place = {"response_id": self.id, "output_index": len(self._output) - 1}
        self._post("response.output_item.added", item=item.as_dict(), **place)
        self._post("conversation.item.added", item=item.as_dict(), previous_item_id=previous)

    def _finish(self, item: Item) -> None:
        place = {"response_id": self.id, "output_index": self._output.index(item)}
        self._post("response.output_item.done", item=item.as_dict(), **place)
        previous = self._items.previous(item)
        self._post("conversation.item.done", item=item.as_dict(), previous_item_id=previous)

    def _tell(self, what: str, **fields: Any) -> None:
        assert self.spoken is not None
        item = self.spoken.item
        place = {"item_id": item.id, "output_index": self._output.index(item), "content_index": 0}
        self._post(f"response.{what}", response_id=self.id, **place, **fields)

    def _as_dict(
        self, status: Status | Literal["in_progress"], reason: str | None = None
    ) -> dict[str, Any]:
        settings = self.settings
        details: dict[str, Any] | None = None
        if self.failure is not None:
            error = {"type": "server_error", "code": self.failure.code}
            details = {"type": "failed", "error": {**error, "message": self.failure.message}}
        elif status == "cancelled":
            details = {"type": "cancelled", "reason": reason}
        output = {"format": format_as_dict(settings.output), "voice": settings.voice}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [item.as_dict() for item in self._output],
            "output_modalities": settings.modalities,
            "audio": {"output": output},
            "max_output_tokens": "inf",
            "metadata": self._metadata or None,
            "usage": None if status == "in_progress" else self._usage(),
        }

    def _usage(self) -> dict[str, Any]:
        """Tokens of text, estimated by length; of sound nothing is counted."""
        texts = (f"{item.text or ''}{item.name}{item.arguments}" for item in self._output)
        written = sum(map(estimated_tokens, texts))
        details = {"text_tokens": self._read, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": self._read + written,
            "input_tokens": self._read,
            "output_tokens": written,
            "input_token_details": {**details, "cached_tokens": 0},
            "output_token_details": {"text_tokens": written, "audio_tokens": 0},
        }


def length_ms(spoken: Spoken, rate: int) -> int:
    """Milliseconds of sound that were sent of a message."""
    return ceil(1000 * (spoken.end - spoken.begin) / rate)
