"""The settings of a Realtime session: what ``session.update`` changes, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from . import Part, Refusal
from .audio import FORMATS, Format

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
"""Voices of OpenAI. Clients name one without being asked; here all of them are our own voice."""
SLOWEST, FASTEST = 0.5, 1.5
MOST_TOOLS = 128
MOST_NAME = 200
MOST_TEXT = 100_000
"""Characters of instructions."""

Eagerness = Literal["low", "medium", "high", "auto"]


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """Who ends the user's turn: a fixed silence (``server_vad``), or words and melody
    (``semantic_vad``)."""

    kind: Literal["server_vad", "semantic_vad"] = "semantic_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: Eagerness = "auto"
    create_response: bool = True
    interrupt_response: bool = True

    def as_dict(self) -> dict[str, Any]:
        rest = {
            "create_response": self.create_response,
            "interrupt_response": self.interrupt_response,
        }
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness, **rest}
        return {
            "type": self.kind,
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "idle_timeout_ms": None,
            **rest,
        }

    @property
    def timing(self) -> TurnDetection:
        """The part that is fixed when the first sound comes."""
        return replace(self, create_response=True, interrupt_response=True)


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function of the client that the mind may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How one answer is given; a session has these for all, a response may have its own."""

    instructions: str
    text: bool = False
    """Written and not spoken: ``output_modalities`` is ``["text"]``."""
    output: Format = "audio/pcm"
    voice: str = VOICES[0]
    speed: float = 1.0
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"

    @property
    def modalities(self) -> list[str]:
        return ["text"] if self.text else ["audio"]

    @property
    def offered(self) -> tuple[FunctionTool, ...]:
        """The tools that the mind may use."""
        return self.tools if self.tool_choice == "auto" else ()


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """All of a session."""

    id: str
    model: str
    answer: AnswerSettings
    input: Format = "audio/pcm"
    transcription: Mapping[str, Any] | None = None
    noise_reduction: Mapping[str, Any] | None = None
    turns: TurnDetection | None = TurnDetection()

    def as_dict(self) -> dict[str, Any]:
        answer = self.answer
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self.id,
            "model": self.model,
            "output_modalities": answer.modalities,
            "instructions": answer.instructions,
            "audio": {
                "input": {
                    "format": format_as_dict(self.input),
                    "transcription": self.transcription,
                    "noise_reduction": self.noise_reduction,
                    "turn_detection": self.turns.as_dict() if self.turns else None,
                },
                "output": {
                    "format": format_as_dict(answer.output),
                    "voice": answer.voice,
                    "speed": answer.speed,
                },
            },
            "tools": [tool.as_dict() for tool in answer.tools],
            "tool_choice": answer.tool_choice,
            "max_output_tokens": "inf",
            "truncation": "auto",
            "tracing": None,
            "prompt": None,
            "include": None,
        }


def format_as_dict(form: Format) -> dict[str, Any]:
    return {"type": form, "rate": 24_000} if form == "audio/pcm" else {"type": form}


def update_session(settings: SessionSettings, part: Part, language: str) -> SessionSettings:
    """``settings`` with what a ``session.update`` changes; raises Refusal.

    ``language`` is the one that is spoken here.
    """
    if not part.has("type"):
        part.refuse("type", 'is missing; send "realtime".', "missing_required_parameter")
    part.choice("type", ("realtime",))
    part.given("id"), part.given("object"), part.given("expires_at")
    if (model := part.optional_text("model")) is not None:
        if not 1 <= len(model) <= MOST_NAME:
            part.refuse("model", f"must have 1 to {MOST_NAME} characters.")
        settings = replace(settings, model=model)  # who thinks is the server's own affair
    if part.has("audio"):
        audio = part.part("audio")
        if audio.has("input"):
            settings = _update_input(settings, audio.part("input"), language)
        if audio.has("output"):
            answer = _update_output(settings.answer, audio.part("output"))
            settings = replace(settings, answer=answer)
        audio.done()
    settings = replace(settings, answer=update_answer(settings.answer, part))
    part.done()
    return settings


def update_answer(answer: AnswerSettings, part: Part) -> AnswerSettings:
    """``answer`` with what ``part``, a session or a response, changes; raises Refusal."""
    part.unsupported("prompt", "tracing", "reasoning", "include")
    if part.given("parallel_tool_calls") is False:
        part.refuse("parallel_tool_calls", "cannot be false here.", "not_supported")
    if part.given("truncation") not in (None, "auto"):
        part.refuse("truncation", 'can be "auto" only.', "not_supported")
    if part.given("max_output_tokens") not in (None, "inf"):
        must = 'can be "inf" only; the settings of the server limit an answer.'
        part.refuse("max_output_tokens", must, "not_supported")
    if part.has("instructions"):
        text = part.text("instructions")
        if len(text) > MOST_TEXT:
            part.refuse("instructions", f"must have at most {MOST_TEXT} characters.")
        answer = replace(answer, instructions=text)
    if part.has("output_modalities"):
        answer = replace(answer, text=_is_text(part))
    if part.has("tools"):
        answer = replace(answer, tools=_tools(part))
    if (choice := part.given("tool_choice")) is not None:
        if choice not in ("auto", "none"):
            must = 'can be "auto" or "none"; a model here is not forced to call a function.'
            part.refuse("tool_choice", must, "not_supported")
        answer = replace(answer, tool_choice=choice)
    return answer


def update_response(answer: AnswerSettings, part: Part) -> tuple[AnswerSettings, dict[str, str]]:
    """What a ``response.create`` wants for one answer, and its metadata; raises Refusal."""
    if part.given("conversation") not in (None, "auto"):
        must = 'can be "auto" only: an answer here belongs to the conversation.'
        part.refuse("conversation", must, "not_supported")
    part.unsupported("input")
    metadata = part.given("metadata") or {}
    if not isinstance(metadata, dict) or not all(
        isinstance(each, str) for pair in metadata.items() for each in pair
    ):
        part.refuse("metadata", "must be an object of strings.", "invalid_type")
    if part.has("audio"):
        audio = part.part("audio")
        if audio.has("output"):
            answer = _update_output(answer, audio.part("output"))
        audio.done()
    answer = update_answer(answer, part)
    part.done()
    return answer, metadata


def _update_input(settings: SessionSettings, part: Part, language: str) -> SessionSettings:
    if part.has("format"):
        settings = replace(settings, input=_format(part))
    if part.has("transcription"):
        settings = replace(settings, transcription=_transcription(part, language))
    if part.has("noise_reduction"):
        settings = replace(settings, noise_reduction=_noise_reduction(part))
    if part.has("turn_detection"):
        settings = replace(settings, turns=_turn_detection(part))
    part.done()
    return settings


def _update_output(answer: AnswerSettings, part: Part) -> AnswerSettings:
    if part.has("format"):
        answer = replace(answer, output=_format(part))
    if part.has("voice"):
        if not isinstance(voice := part.given("voice"), str):
            part.refuse("voice", "must be a name; voices by id are not supported.", "not_supported")
        if not 1 <= len(voice) <= MOST_NAME:
            part.refuse("voice", f"must have 1 to {MOST_NAME} characters.")
        answer = replace(answer, voice=voice)
    if part.has("speed"):
        answer = replace(answer, speed=part.number("speed", SLOWEST, FASTEST))
    part.done()
    return answer


def _format(part: Part) -> Format:
    form = part.part("format")
    kind = cast("Format", form.choice("type", tuple(FORMATS)))
    rate = form.given("rate")
    if rate is not None and rate != FORMATS[kind]:
        form.refuse("rate", f"of {kind} is {FORMATS[kind]}.")
    form.done()
    return kind


def _transcription(part: Part, language: str) -> dict[str, Any] | None:
    value = part.given("transcription")
    if value is None:
        return None
    wanted = Part(value, part.name("transcription"))
    shown = {
        name: text
        for name in ("model", "language", "prompt")
        if (text := wanted.optional_text(name)) is not None
    }
    spoken = shown.get("language") or language
    if spoken.partition("-")[0].lower() != language.partition("-")[0].lower():
        wanted.refuse("language", f"is {language!r} on this server.", "not_supported")
    wanted.unsupported("delay", "keywords", "languages")
    wanted.done()
    return shown


def _noise_reduction(part: Part) -> dict[str, Any] | None:
    value = part.given("noise_reduction")
    if value is None:
        return None
    wanted = Part(value, part.name("noise_reduction"))
    kind = wanted.choice("type", ("near_field", "far_field"))
    wanted.unsupported("strength")
    wanted.done()
    return {"type": kind}


def _turn_detection(part: Part) -> TurnDetection | None:
    value = part.given("turn_detection")
    if value is None:
        return None
    wanted = Part(value, part.name("turn_detection"))
    kind = wanted.choice("type", ("server_vad", "semantic_vad"))
    found = TurnDetection(cast("Literal['server_vad', 'semantic_vad']", kind))
    if wanted.has("create_response"):
        found = replace(found, create_response=wanted.flag("create_response"))
    if wanted.has("interrupt_response"):
        found = replace(found, interrupt_response=wanted.flag("interrupt_response"))
    wanted.unsupported("idle_timeout_ms")
    if kind == "semantic_vad":
        if wanted.has("eagerness"):
            eager = wanted.choice("eagerness", ("low", "medium", "high", "auto"))
            found = replace(found, eagerness=cast("Eagerness", eager))
    else:
        if wanted.has("threshold"):
            found = replace(found, threshold=wanted.number("threshold", 0.0, 1.0))
        if wanted.has("prefix_padding_ms"):
            found = replace(found, prefix_padding_ms=wanted.count("prefix_padding_ms", 5_000))
        if wanted.has("silence_duration_ms"):
            found = replace(found, silence_duration_ms=wanted.count("silence_duration_ms", 10_000))
    wanted.done()
    return found


def _is_text(part: Part) -> bool:
    modalities = part.items("output_modalities")
    if modalities not in (["text"], ["audio"]):
        part.refuse("output_modalities", 'must be ["audio"] or ["text"].')
    return bool(modalities == ["text"])


def _tools(part: Part) -> tuple[FunctionTool, ...]:
    values: Sequence[Any] = part.items("tools")
    if len(values) > MOST_TOOLS:
        part.refuse("tools", f"must be at most {MOST_TOOLS}.")
    tools = []
    for index, value in enumerate(values):
        tool = Part(value, f"{part.name('tools')}[{index}]")
        if tool.text("type") != "function":
            tool.refuse("type", 'can be "function" only.', "not_supported")
        name = tool.text("name")
        if not 1 <= len(name) <= 64:
            tool.refuse("name", "must have 1 to 64 characters.")
        parameters = tool.given("parameters")
        if parameters is None:
            parameters = {"type": "object", "properties": {}}
        if not isinstance(parameters, dict):
            tool.refuse("parameters", "must be a JSON schema object.", "invalid_type")
        description = tool.optional_text("description") or ""
        tool.given("strict")  # arguments are held to the schema in any case
        tool.done()
        tools.append(FunctionTool(name, description, parameters))
    if len({tool.name for tool in tools}) < len(tools):
        raise Refusal("invalid_value", "two tools have the same name.", part.name("tools"))
    return tuple(tools)
