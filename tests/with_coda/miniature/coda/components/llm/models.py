"""Messages, conversations, answers, and how models are reached."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field


class LLMProvider(str, Enum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"
    LOCAL = "local"
    HUGGINGFACE = "huggingface"


class MessageRole(str, Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    FUNCTION = "function"
    TOOL = "tool"


class LLMMessage(BaseModel):
    role: MessageRole
    content: str
    name: str | None = None
    function_call: dict[str, Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    timestamp: datetime = Field(default_factory=datetime.now)
    metadata: dict[str, Any] = Field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"role": self.role.value, "content": self.content}
        for key in ("name", "function_call", "tool_calls"):
            if getattr(self, key):
                told[key] = getattr(self, key)
        return told


class LLMConversation(BaseModel):
    conversation_id: str
    messages: list[LLMMessage] = Field(default_factory=list)
    created_at: datetime = Field(default_factory=datetime.now)
    updated_at: datetime = Field(default_factory=datetime.now)
    metadata: dict[str, Any] = Field(default_factory=dict)

    def add_message(self, message: LLMMessage) -> None:
        """What is no message is taken too, and breaks whoever reads it."""
        self.messages.append(message)
        self.updated_at = datetime.now()


class LLMStreamChunk(BaseModel):
    chunk_id: str
    content: str
    delta: str = ""
    finish_reason: str | None = None
    timestamp: datetime = Field(default_factory=datetime.now)
    metadata: dict[str, Any] = Field(default_factory=dict)


class LLMResponse(BaseModel):
    response_id: str
    content: str
    provider: LLMProvider
    model: str
    conversation_id: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    response_time_ms: float = 0.0
    timestamp: datetime = Field(default_factory=datetime.now)
    function_calls: list[dict[str, Any]] = Field(default_factory=list)
    tool_calls: list[dict[str, Any]] = Field(default_factory=list)
    finish_reason: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class ProviderConfig(BaseModel):
    provider: LLMProvider
    model: str
    api_key: str | None = None
    api_base: str | None = None
    timeout: float = Field(default=120.0, gt=0)
    max_retries: int = Field(default=3, ge=0)
    temperature: float = Field(default=0.7, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, gt=0)
    top_p: float = Field(default=1.0, ge=0.0, le=1.0)
    extra_params: dict[str, Any] = Field(default_factory=dict)


class ConversationConfig(BaseModel):
    max_messages: int = 50
    auto_summarize: bool = True
    summarize_threshold: int = 40
    context_window_size: int = 4000
    memory_integration_enabled: bool = True


class FunctionCallingConfig(BaseModel):
    enabled: bool = True
    auto_execute: bool = True


class LLMConfig(BaseModel):
    providers: dict[str, ProviderConfig] = Field(default_factory=dict)
    default_provider: str = "openai"
    conversation: ConversationConfig = Field(default_factory=ConversationConfig)
    function_calling: FunctionCallingConfig = Field(default_factory=FunctionCallingConfig)
    websocket_events_enabled: bool = True
    stream_responses: bool = True
