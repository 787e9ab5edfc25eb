"""What the memory stores and tells."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field


class MemoryType(str, Enum):
    CONVERSATION = "conversation"
    FACT = "fact"
    PREFERENCE = "preference"
    SYSTEM = "system"
    TOOL_RESULT = "tool_result"


class ConversationRole(str, Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class ConversationTurn(BaseModel):
    role: ConversationRole
    content: str
    timestamp: datetime = Field(default_factory=datetime.now)
    turn_id: int
    metadata: dict[str, Any] = Field(default_factory=dict)


class MemoryMetadata(BaseModel):
    """Unknown fields, ``source`` among them, are dropped without a word."""

    source_type: MemoryType
    timestamp: datetime = Field(default_factory=datetime.now)
    importance: float = Field(default=0.5, ge=0.0, le=1.0)
    topics: list[str] = Field(default_factory=list)
    speakers: list[str] = Field(default_factory=list)
    turn_ids: list[int] = Field(default_factory=list)
    session_id: str | None = None
    additional: dict[str, Any] = Field(default_factory=dict)


class Memory(BaseModel):
    id: str
    content: str
    metadata: MemoryMetadata
    embedding: list[float] | None = None
    created_at: datetime = Field(default_factory=datetime.now)
    accessed_at: datetime = Field(default_factory=datetime.now)
    access_count: int = 0

    def update_access(self) -> None:
        self.access_count += 1
        self.accessed_at = datetime.now()


class MemoryChunk(BaseModel):
    content: str
    speakers: list[str]
    turn_ids: list[int]
    timestamp: datetime
    topics: list[str] = Field(default_factory=list)


class MemoryQuery(BaseModel):
    query: str
    limit: int = Field(default=5, ge=1, le=100)
    min_relevance: float = Field(default=0.0, ge=0.0, le=1.0)
    memory_types: list[MemoryType] | None = None
    time_range: tuple[datetime, datetime] | None = None
    topics: list[str] | None = None
    include_system: bool = False


class MemoryResult(BaseModel):
    """A score below 0 or above 1 is refused when one is made, not when one is assigned."""

    memory: Memory
    relevance_score: float = Field(ge=0.0, le=1.0)
    time_decay_factor: float = Field(ge=0.0, le=1.0)
    final_score: float = Field(ge=0.0, le=1.0)


class MemoryStats(BaseModel):
    total_memories: int = 0
    memory_types: dict[MemoryType, int] = Field(default_factory=dict)
    average_importance: float = 0.0
    oldest_memory: datetime | None = None
    newest_memory: datetime | None = None
    total_content_length: int = 0
    average_content_length: float = 0.0
    most_accessed_memory_id: str | None = None
    total_access_count: int = 0


class ShortTermMemoryConfig(BaseModel):
    max_turns: int = Field(default=20, ge=1, le=1000)
    max_tokens: int = Field(default=800, ge=100, le=10_000)
    include_system_in_context: bool = True


class LongTermMemoryConfig(BaseModel):
    storage_path: str = "data/memory/long_term"
    embedding_model: str = "all-MiniLM-L6-v2"
    vector_db_type: str = "chroma"
    max_memories: int = Field(default=1000, ge=1)
    device: str = "cpu"
    chunk_size: int = Field(default=200, ge=50, le=1000)
    chunk_overlap: int = Field(default=50, ge=0, le=200)
    min_chunk_length: int = Field(default=50, ge=10, le=500)
    time_decay_days: float = Field(default=30.0, ge=1.0)
    auto_persist: bool = True
    persist_interval: int = Field(default=5, ge=1)


class MemoryEncoderConfig(BaseModel):
    chunk_size: int = Field(default=200, ge=50, le=1000)
    chunk_overlap: int = Field(default=50, ge=0, le=200)
    min_chunk_length: int = Field(default=50, ge=10, le=500)
    importance_keywords: list[str] = Field(
        default_factory=lambda: ["important", "remember", "note", "key", "critical", "essential"]
    )
    topic_extraction_enabled: bool = True


class MemoryManagerConfig(BaseModel):
    short_term: ShortTermMemoryConfig = Field(default_factory=ShortTermMemoryConfig)
    long_term: LongTermMemoryConfig = Field(default_factory=LongTermMemoryConfig)
    encoder: MemoryEncoderConfig = Field(default_factory=MemoryEncoderConfig)
    auto_persist: bool = True
    persist_interval: int = Field(default=5, ge=1)


class ContextMessage(BaseModel):
    role: ConversationRole
    content: str

    def to_dict(self) -> dict[str, str]:
        return {"content": self.content, "role": self.role.value}


class ConversationContext(BaseModel):
    messages: list[ContextMessage]
    total_tokens: int
    short_term_turns: int
    long_term_memories: int

    def to_list(self) -> list[dict[str, str]]:
        return [message.to_dict() for message in self.messages]
