"""What the voice is told and tells. Unknown fields are refused."""

from __future__ import annotations

import time
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class VoiceProcessingMode(str, Enum):
    MOSHI_ONLY = "moshi_only"
    HYBRID = "hybrid"
    TRADITIONAL = "traditional"
    ADAPTIVE = "adaptive"


class AudioFormat(str, Enum):
    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OGG = "ogg"
    WEBM = "webm"


class VoiceProvider(str, Enum):
    MOSHI = "moshi"
    WHISPER = "whisper"
    ELEVENLABS = "elevenlabs"
    OPENAI_TTS = "openai_tts"
    COQUI_TTS = "coqui_tts"
    OLLAMA = "ollama"


class ConversationMode(str, Enum):
    FULL_DUPLEX = "full_duplex"
    TURN_BASED = "turn_based"
    PUSH_TO_TALK = "push_to_talk"


class Strict(BaseModel):
    """Not in the core: each model there says this for itself."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class AudioConfig(Strict):
    sample_rate: int = 24_000
    channels: int = 1
    bit_depth: int = 16
    chunk_size: int = 1024
    format: AudioFormat = AudioFormat.WAV
    vad_enabled: bool = True
    vad_threshold: float = 0.5
    silence_duration_ms: int = 1000
    noise_reduction: bool = True
    echo_cancellation: bool = True
    auto_gain_control: bool = True


class MoshiConfig(Strict):
    """The name of the model is broken, as in the core."""

    model_path: str | None = "kyutai / moshiko - pytorch - bf16"
    device: str = "cuda"
    optimization: str = "bf16"
    max_conversation_length: int = 300
    target_latency_ms: int = 200
    vram_allocation: str = "8GB"
    enable_streaming: bool = True
    external_llm_enabled: bool = True
    inner_monologue_enabled: bool = True


class ExternalLLMConfig(Strict):
    provider: str = "ollama"
    model: str = "llama3.1:70b - instruct - q4_K_M"
    vram_allocation: str = "20GB"
    reasoning_mode: str = "enhanced"
    context_window: int = 8192
    temperature: float = 0.7
    parallel_processing: bool = True
    fallback_enabled: bool = True


class VoiceConfig(Strict):
    mode: VoiceProcessingMode = VoiceProcessingMode.HYBRID
    conversation_mode: ConversationMode = ConversationMode.FULL_DUPLEX
    audio: AudioConfig = Field(default_factory=AudioConfig)
    moshi: MoshiConfig = Field(default_factory=MoshiConfig)
    external_llm: ExternalLLMConfig = Field(default_factory=ExternalLLMConfig)
    memory_integration_enabled: bool = True
    personality_integration_enabled: bool = True
    tools_integration_enabled: bool = True
    websocket_events_enabled: bool = True
    total_vram: str = "32GB"
    reserved_system: str = "4GB"
    dynamic_allocation: bool = True
    enable_traditional_pipeline: bool = False
    fallback_whisper_model: str = "large - v3"
    fallback_tts_model: str = "xtts_v2"


class VoiceMessage(Strict):
    message_id: str
    conversation_id: str
    user_id: str | None = None
    audio_data: bytes | None = None
    text_content: str | None = None
    timestamp: datetime = Field(default_factory=datetime.now)
    duration_ms: int | None = None
    audio_format: AudioFormat = AudioFormat.WAV
    processing_mode: VoiceProcessingMode
    latency_ms: float | None = None
    confidence_score: float | None = None
    memory_context: dict[str, Any] | None = None
    personality_state: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class VoiceResponse(Strict):
    response_id: str
    conversation_id: str
    message_id: str
    audio_data: bytes | None = None
    text_content: str
    timestamp: datetime = Field(default_factory=datetime.now)
    duration_ms: int | None = None
    audio_format: AudioFormat = AudioFormat.WAV
    processing_mode: VoiceProcessingMode
    total_latency_ms: float
    moshi_latency_ms: float | None = None
    llm_latency_ms: float | None = None
    audio_quality_score: float | None = None
    response_relevance: float | None = None
    memory_updates: list[dict[str, Any]] | None = None
    personality_changes: dict[str, Any] | None = None
    tool_results: list[dict[str, Any]] | None = None


class VoiceStreamChunk(Strict):
    conversation_id: str
    chunk_index: int
    audio_data: bytes | None = None
    text_content: str | None = None
    timestamp: float = Field(default_factory=time.time)
    is_complete: bool = False
    chunk_type: str = "audio"
    processing_latency_ms: float | None = None
    confidence_score: float | None = None


class ConversationState(Strict):
    conversation_id: str
    user_id: str | None = None
    is_active: bool = False
    is_speaking: bool = False
    is_listening: bool = True
    started_at: datetime = Field(default_factory=datetime.now)
    last_activity: datetime = Field(default_factory=datetime.now)
    total_duration_ms: int = 0
    message_count: int = 0
    total_audio_duration_ms: int = 0
    average_latency_ms: float = 0.0
    current_mode: VoiceProcessingMode
    moshi_active: bool = False
    llm_active: bool = False
    memory_context: dict[str, Any] | None = None
    personality_state: dict[str, Any] | None = None


class VoiceEvent(Strict):
    event_id: str
    event_type: str
    conversation_id: str | None = None
    data: dict[str, Any]
    timestamp: datetime = Field(default_factory=datetime.now)
    source: str
    priority: str = "normal"
    requires_response: bool = False


class VoiceAnalytics(Strict):
    total_conversations: int = 0
    total_messages: int = 0
    total_audio_duration_ms: int = 0
    average_latency_ms: float = 0.0
    moshi_latency_ms: float = 0.0
    llm_latency_ms: float = 0.0
    average_confidence: float = 0.0
    audio_quality: float = 0.0
    vram_usage: dict[str, str] = Field(default_factory=dict)
    cpu_usage: float = 0.0
    error_rate: float = 0.0
    fallback_rate: float = 0.0
    memory_integration_usage: float = 0.0
    personality_integration_usage: float = 0.0
    tools_integration_usage: float = 0.0
