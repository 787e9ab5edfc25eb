"""The settings of Kyutai's models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from .base import ByteSize, Fraction, Milliseconds, Settings

Device = Literal["auto", "cuda", "cpu"]
NumberFormat = Literal["bf16", "int8", "fp32"]


def _socket_address(value: str) -> str:
    if not value.startswith(("ws://", "wss://")) or any(sign.isspace() for sign in value):
        raise ValueError('write the whole address, such as "ws://127.0.0.1:8998/api/chat"')
    return value


SocketAddress = Annotated[str, AfterValidator(_socket_address)]


class MoshiSettings(Settings):
    """Kyutai's Moshi, read by the strategies that run it."""

    model_path: str = "kyutai/moshika-pytorch-bf16"
    """Hub repository, or a local folder that holds its files (with the official config.json)."""
    device: Device = "auto"
    """Where the model runs; ``auto`` is the GPU if there is one."""
    optimization: NumberFormat = "bf16"
    """Number format of the weights. int8 halves their memory; fp32 is for a CPU."""
    url: SocketAddress | None = None
    """Use a Moshi server that runs elsewhere (``ws://HOST:8998/api/chat``), and no model here."""
    slots: PositiveInt | None = None
    """Conversations at once. None: as many as fit into the GPU's free memory; two on a CPU."""
    context_s: Annotated[int, Field(ge=10, le=240)] = 240
    """Seconds that the model remembers. Half of it halves the memory of a conversation (1.5 GB for
    the full size); what is older is forgotten, and the call goes on."""
    vram_allocation: ByteSize | None = None
    """Bytes of GPU memory for weights and slots ("8GB" is understood); None: what is free."""
    max_conversation_length: PositiveInt | None = None
    """Seconds after which Moshi begins anew at the next silence, knowing only its persona; None:
    never. The call itself goes on either way."""
    opening: str = "free"
    """Who speaks first: ``free`` leaves it to Moshi (which mostly greets), ``listen`` has it wait
    for the user; any other text is what it says."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.8
    """How freely sounds are chosen, for all conversations; 0 takes the likeliest, words too."""
    text_temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """How freely words are chosen."""
    top_k: PositiveInt = 250
    """Sounds to choose among."""
    text_top_k: PositiveInt = 25
    """Words to choose among."""
    seed: int | None = None
    """Start of the random numbers. The same only with the same callers at the same ticks."""
    role_prompt: str = ""
    """Who Moshi is, for weights that were trained to be told (PersonaPlex)."""
    voice_prompt: str | None = None
    """Recording whose voice Moshi takes on, for weights that were trained so (PersonaPlex)."""
    gate: Literal["off", "mute", "pad"] = "off"
    """Keep Moshi out of the user's pauses until the turn is over: ``mute`` does not let it be
    heard, ``pad`` does not let it begin."""
    barge_in: Literal["model", "voice"] = "model"
    """Who stops Moshi when the user speaks up: itself, or besides the detector of voices at once
    (``turn.barge_in_ms``)."""
    transcribe: bool = False
    """Have the ear (``stt``) write down what the user says. Moshi's own text is only what Moshi
    says."""
    target_latency_ms: Milliseconds = 200
    """Accepted for Coda's files, without effect: the delay is the model's own."""
    enable_streaming: bool = True
    """Accepted for Coda's files, without effect: Moshi always speaks while it listens."""
    external_llm_enabled: bool = True
    """Let the strategies ``hybrid`` and ``adaptive`` ask a language model. Off: Moshi answers alone
    while it can."""
    inner_monologue_enabled: bool = True
    """Show the words that Moshi writes beside its speech, and keep them. Off: it speaks without
    captions and history."""


class KyutaiSettings(Settings):
    """Kyutai's recogniser and voice (``stt: kyutai``, ``tts: kyutai``), here or on their server."""

    stt_model: str = "kyutai/stt-1b-en_fr"
    """Hub repository or local folder of the recogniser."""
    tts_model: str = "kyutai/tts-1.6b-en_fr"
    """Hub repository or local folder of the voice."""
    tts_voice: str = "expresso/ex03-ex01_happy_001_channel1_334s.wav"
    """Whose voice: a name in ``kyutai/tts-voices``, or a local file of that kind."""
    device: Device = "auto"
    """Where the models run."""
    optimization: NumberFormat = "bf16"
    """Number format of the weights."""
    stt_slots: PositiveInt = 8
    """Users written down at once."""
    tts_slots: PositiveInt = 8
    """Answers spoken at once."""
    pause_threshold: Fraction = 0.5
    """Probability from which the recogniser's own judgement counts as the end of a turn."""
    stt_url: SocketAddress | None = None
    """Recognise on Kyutai's Rust server (``ws://HOST:8080/api/asr-streaming``)."""
    tts_url: SocketAddress | None = None
    """Speak through Kyutai's Rust server (``ws://HOST:8080/api/tts_streaming``)."""
    api_key: str = "public_token"
    """Sent to Kyutai's Rust server, which lets in those it knows."""
    reconnect_ms: Milliseconds = 2_000
    """How long a connection that was lost is tried again before the call hears of it; holds for
    ``moshi.url`` as well."""
