"""The settings: one frozen tree, unknown keys refused.

The field docstrings are the reference (``docs/settings.md`` is made from them).
Names that Coda 2.0's ``voice:`` section uses keep Coda's spelling.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt

from .base import ByteSize, Fraction, Milliseconds, Settings
from .house import (
    HookSettings,
    LogSettings,
    ModelsSettings,
    PluginSettings,
    ServerSettings,
    StoreSettings,
)
from .hybrid import AdaptiveSettings, FallbackSettings, HybridSettings, LatencySettings
from .moshi import KyutaiSettings, MoshiSettings


def _reasoning(value: object) -> object:
    """Coda's word for thinking that is not enhanced."""
    return "off" if value == "basic" else value


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")) or any(sign.isspace() for sign in value):
        raise ValueError('write the whole address, such as "http://127.0.0.1:11434"')
    return value


def _keep_alive(value: object) -> object:
    """Ollama takes seconds as a number too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class AudioSettings(Settings):
    """Sound in and out."""

    sample_rate: Literal[8_000, 16_000, 22_050, 24_000, 44_100, 48_000] = 24_000
    """Hertz of the speech that is sent to clients."""
    channels: Literal[1] = 1
    """Speech is mono; anything else is refused."""
    bit_depth: Literal[16] = 16
    """Bits of a sample; speech is PCM16."""
    chunk_size: Annotated[int, Field(ge=160, le=9_600)] = 960
    """Samples in one outgoing frame of speech (960 at 24 kHz are 40 ms)."""
    format: Literal["wav", "flac", "ogg"] = "wav"
    """Container of recorded speech when a file name does not say."""
    vad_enabled: bool = True
    """Detect turns by voice activity. Off: turns end by the talk key alone."""
    vad_threshold: Fraction = 0.5
    """Probability from which Silero's judgement counts as speech."""
    vad: Literal["silero", "webrtc"] = "silero"
    """Judge of speech: Silero behind webrtcvad as a gate, or webrtcvad alone."""
    silence_duration_ms: Milliseconds = 1_600
    """Silence that ends a turn whatever was said."""
    high_pass: bool = True
    """Remove rumble below 80 Hz."""
    noise_reduction: bool = False
    """WebRTC noise suppression. Off: it helps against steady noise and harms among voices."""
    echo_cancellation: bool = False
    """WebRTC echo cancellation against what we play. Only for loudspeakers whose client has
    none (browsers have): with a headset it harms what is said while a reply sounds."""
    auto_gain_control: bool = False
    """Bring quiet speech up to level."""
    mic_buffer_ms: Milliseconds = 2_000
    """Sound kept for a strategy that is behind; then the oldest is dropped and counted."""


class TurnSettings(Settings):
    """When a turn ends, and when the user interrupts."""

    speculative_ms: Milliseconds = 160
    """Silence after which work on the answer begins, unheard."""
    confirm_ms: Milliseconds = 420
    """Silence that ends a turn whose words sound finished."""
    unsure_ms: Milliseconds = 700
    """Silence that ends a turn about whose end there is no hint."""
    unfinished_ms: Milliseconds = 1_400
    """Silence that ends a turn whose words sound unfinished."""
    text_hint: bool = True
    """Judge by the partial transcript whether the sentence is finished."""
    acoustic_hint: bool = True
    """Judge by melody (Smart Turn) whether the sentence is finished."""
    pre_roll_ms: Milliseconds = 400
    """Sound kept from before speech was noticed, so that the first word is whole."""
    min_speech_ms: Milliseconds = 100
    """Shorter sounds are not speech. While a reply sounds ``barge_in_ms`` are enough, if that is
    less: a reply that falls silent for nothing goes on."""
    barge_in_ms: Milliseconds = 64
    """Speech of this length while a reply sounds makes it fall silent, until it is known whether
    the user interrupts."""
    interrupt_ms: Milliseconds = 1_000
    """Speech of this length interrupts, whatever is said (twice as much where the words so far
    are back-channels). At or below ``barge_in_ms``: at once."""
    interrupt_words: Annotated[int, Field(ge=1, le=10)] = 1
    """So many words that are no back-channel interrupt sooner."""
    backchannels: tuple[str, ...] = (
        "mm",
        "mmm",
        "mhm",
        "mm-hmm",
        "mm hmm",
        "hm",
        "hmm",
        "uh-huh",
        "uh huh",
        "uh",
        "um",
        "ah",
        "oh",
        "aha",
        "huh",
        "eh",
        "ha",
        "haha",
        "wow",
        "well",
        "yeah",
        "yep",
        "okay",
        "ok",
        "right",
        "sure",
        "i see",
        "got it",
        "cool",
        "nice",
        "great",
        "you",
        "thank you",
    )
    """What a listener says without wanting the floor, alone or several in a row; then the reply
    goes on where it fell silent. Not so at its very end, where it may be an answer. The last two
    are what recognisers write for coughs and hums."""
    partial_ms: Milliseconds = 500
    """Least time between two partial transcripts."""
    max_utterance_s: Annotated[int, Field(ge=5, le=600)] = 60
    """A turn is ended after this much speech, however it goes on."""


class ExternalLLMSettings(Settings):
    """The mind on an Ollama server."""

    provider: Literal["ollama"] = "ollama"
    """Kind of server."""
    model: str | None = None
    """Model name, such as ``qwen3:8b``; None takes the first chat model the server has."""
    base_url: Annotated[str, AfterValidator(_address)] = "http://127.0.0.1:11434"
    """Address of the server."""
    vram_allocation: ByteSize | None = None
    """Bytes of GPU memory the model may take ("20GB" is understood)."""
    reasoning_mode: Annotated[
        Literal["off", "low", "medium", "high", "enhanced"], BeforeValidator(_reasoning)
    ] = "off"
    """Thinking before speaking. It delays the first word and is never spoken. Coda's ``basic`` is
    ``off``."""
    context_window: Annotated[int, Field(ge=512)] = 8_192
    """Tokens (``num_ctx``); sent with every request, since a change reloads the model."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """How freely words are chosen; 0 takes the likeliest each time."""
    max_tokens: PositiveInt = 400
    """Longest answer, in tokens."""
    keep_alive: Annotated[str, BeforeValidator(_keep_alive)] = "-1"
    """How long the server keeps the model loaded; "-1" is for ever."""
    connect_ms: Milliseconds = 1_000
    """Deadline for the connection."""
    answer_ms: Milliseconds = 5_000
    """Deadline for short questions: which models there are, what they can."""
    load_ms: Milliseconds = 300_000
    """Deadline for loading a model, before the first conversation and at a switch."""
    first_token_ms: Milliseconds = 30_000
    """Deadline for the first token, all attempts together. The embedded mind keeps it too."""
    between_tokens_ms: Milliseconds = 10_000
    """Deadline between two tokens. The embedded mind keeps it too."""
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    """How often a request is made again when the server is down, hangs up or fails before
    its first word; what is half spoken is never asked for again."""
    parallel_processing: bool = True
    """Think during pauses, before the turn is confirmed."""
    fallback_enabled: bool = True
    """With ``llm: auto``, use the embedded mind when no server answers."""


class EmbeddedLLMSettings(Settings):
    """The mind inside this process (llama.cpp)."""

    model: str = "qwen2.5-coder-0.5b"
    """Name from ``coda-voice fetch --list``, or the path of a GGUF file."""
    fallback_model: str | None = "smollm2-135m"
    """Used, with a notice, when the weights of ``model`` cannot be had."""
    context_window: Annotated[int, Field(ge=512)] = 4_096
    """Tokens, shared by all parallel calls."""
    threads: PositiveInt = 1
    """More than one waits by spinning: only where the cores are its own."""
    parallel: PositiveInt = 1
    """Answers written at once; each has its share of the context."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """How freely words are chosen; 0 takes the likeliest each time."""
    max_tokens: PositiveInt = 120
    """Longest answer, in tokens."""


class MoonshineSettings(Settings):
    """The embedded recogniser."""

    threads: PositiveInt = 1
    """Threads of one recognition."""


class HibariSettings(Settings):
    """The embedded voice."""

    threads: PositiveInt = 1
    """Threads of one synthesis."""
    seed: int | None = 0
    """Same text, same samples; None varies the voice a little each time."""


class PromptSettings(Settings):
    """What the mind is told about speaking, and how much of the conversation it reads again."""

    system: str = (
        "You are Coda, a friendly voice assistant. Everything you write is spoken aloud, so "
        "answer at once, in one or two short sentences that are easy to say. Plain words only: "
        "no markdown, no lists, no code, no links, no emoji. Write numbers, units and signs as "
        "words, such as twenty degrees. Where one of your lines ends with a long dash, the user "
        "cut you off there and did not hear the rest; never write that dash yourself."
    )
    """What the mind reads first, before any conversation."""
    history_turns: Annotated[int, Field(ge=0, le=200)] = 20
    """Most past exchanges that the mind reads again. When there are more, the oldest two fifths
    go at once, so that its prompt cache stays good for a while."""
    history_tokens: PositiveInt | None = None
    """Most tokens of past exchanges that the mind reads again, trimmed likewise; None takes
    what the mind's context leaves beside instructions, tools and the answer."""
    summary_tokens: Annotated[int, Field(ge=0, le=2_000)] = 160
    """Longest summary of what no longer is read again. The mind writes it while nobody speaks
    and no other call goes on. 0 writes none."""


class SpeedSettings(Settings):
    """Ways to a sooner answer."""

    restarts: Annotated[int, Field(ge=0, le=20)] = 2
    """How often in one turn thinking may begin anew because the user went on speaking; then it
    waits for the end of the turn. See also ``external_llm.parallel_processing``."""
    opener_after_ms: Milliseconds = 2_000
    """Silence, since the user stopped speaking, that an opener breaks once in an answer."""
    openers: tuple[str, ...] = (
        "Let me see.",
        "One moment.",
        "Let me think.",
        "Just a second.",
    )
    """Said in turn when the answer takes long; they tell nothing. Empty: silence. The default
    ones are for English and are left out in other languages."""
    response_cache: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Answers kept for the same first words of a conversation, without tools and context.
    0 keeps none, and every answer is thought anew."""


class ToolSettings(Settings):
    """What the mind may do with tools of plugins."""

    rounds: Annotated[int, Field(ge=0, le=20)] = 4
    """How often in one answer the mind may ask for tools."""
    deadline_ms: Milliseconds = 10_000
    """For each tool that has no deadline of its own; then it is stopped and the mind told."""
    result_characters: Annotated[int, Field(ge=100)] = 4_000
    """A longer result is cut."""
    confirm_ms: Milliseconds = 8_000
    """Time to begin a yes after a dangerous tool was asked about; silence is a no."""
    yes: tuple[str, ...] = (
        "yes",
        "yeah",
        "yep",
        "sure",
        "ok",
        "okay",
        "of course",
        "certainly",
        "please",
        "please do",
        "do it",
        "do that",
        "go ahead",
    )
    """What counts as a yes, alone or several in a row; any other word makes it a no."""


class TroubleSettings(Settings):
    """What is said when an answer fails; the client is told the error in any case."""

    spoken: bool = True
    """Say in a sentence that the answer failed, so that nobody waits in silence."""
    without_llm: str = "I can't look things up right now."
    """Said once when Moshi begins to answer without the language model. Empty: nothing is said."""


class VoiceConfig(Settings):
    """All settings, as read from the ``voice:`` section."""

    strategy: str = "ollama"
    """How the conversation is held; ``coda-voice plugins`` lists the names."""
    conversation_mode: Literal["full_duplex", "turn_based", "push_to_talk"] = "full_duplex"
    """May the user interrupt; does the user's key mark the turns."""
    stt: str = "moonshine"
    """Ear."""
    tts: str = "hibari"
    """Mouth."""
    llm: str = "auto"
    """Mind; ``auto`` is an Ollama server with a chat model if one answers, else the
    embedded one."""
    language: str = "en"
    """Language of the conversation (ISO 639-1)."""
    memory_integration_enabled: bool = True
    """Ask plugins for context before a reply."""
    personality_integration_enabled: bool = True
    """Ask plugins how a reply should sound."""
    tools_integration_enabled: bool = True
    """Ask plugins for tools."""
    websocket_events_enabled: bool = True
    """Tell plugins what the client is told."""
    total_vram: ByteSize | None = None
    """Bytes of GPU memory for strategies on a GPU, of which this version has none
    ("32GB" is understood)."""
    reserved_system: ByteSize = 0
    """Bytes of it that stay free."""
    dynamic_allocation: bool = True
    """Let strategies lease what they need from the common sum. Off: each keeps to its own
    ``vram_allocation``."""
    audio: AudioSettings = AudioSettings()
    turn: TurnSettings = TurnSettings()
    prompt: PromptSettings = PromptSettings()
    speed: SpeedSettings = SpeedSettings()
    tools: ToolSettings = ToolSettings()
    external_llm: ExternalLLMSettings = ExternalLLMSettings()
    embedded_llm: EmbeddedLLMSettings = EmbeddedLLMSettings()
    moshi: MoshiSettings = MoshiSettings()
    hybrid: HybridSettings = HybridSettings()
    adaptive: AdaptiveSettings = AdaptiveSettings()
    fallback: FallbackSettings = FallbackSettings()
    latency: LatencySettings = LatencySettings()
    kyutai: KyutaiSettings = KyutaiSettings()
    moonshine: MoonshineSettings = MoonshineSettings()
    hibari: HibariSettings = HibariSettings()
    trouble: TroubleSettings = TroubleSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    models: ModelsSettings = ModelsSettings()
    hooks: HookSettings = HookSettings()
    plugins: PluginSettings = PluginSettings()
    log: LogSettings = LogSettings()
