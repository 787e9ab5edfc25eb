"""The settings of the assistant. Unknown keys are dropped, a plugin's among them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field

NAMED = ("get_time", "get_date", "tell_joke", "get_weather", "search_memory", "list_tools")
FROM_ENVIRONMENT = {
    "CODA_LLM_MODEL": ("llm", "model"),
    "CODA_LLM_PROVIDER": ("llm", "provider"),
    "CODA_WEBSOCKET_HOST": ("websocket", "host"),
    "CODA_WEBSOCKET_PORT": ("websocket", "port"),
}


class VoiceConfig(BaseModel):
    mode: str = "moshi_only"
    conversation_mode: str = "turn_based"
    audio: dict[str, Any] | None = None
    moshi: dict[str, Any] | None = None
    external_llm: dict[str, Any] | None = None
    memory_integration_enabled: bool = True
    personality_integration_enabled: bool = True
    tools_integration_enabled: bool = True
    websocket_events_enabled: bool = True


class LLMConfig(BaseModel):
    provider: str = "openai"
    model: str = "gpt-4"
    api_key: str | None = None
    base_url: str | None = None
    temperature: float = 0.7
    max_tokens: int = 2048


class ShortTermMemoryConfig(BaseModel):
    max_turns: int = 20
    max_tokens: int = 800


class LongTermMemoryConfig(BaseModel):
    enabled: bool = True
    storage_path: str = "data/memory/long_term"
    vector_db_type: str = "chroma"
    embedding_model: str = "all-MiniLM-L6-v2"
    max_memories: int = 1000
    device: str = "cpu"
    chunk_size: int = 200
    chunk_overlap: int = 50
    min_chunk_length: int = 50
    time_decay_days: float = 30.0
    auto_persist: bool = True
    persist_interval: int = 5


class MemoryConfig(BaseModel):
    short_term: ShortTermMemoryConfig = Field(default_factory=ShortTermMemoryConfig)
    long_term: LongTermMemoryConfig = Field(default_factory=LongTermMemoryConfig)


class ToolsConfig(BaseModel):
    enabled: bool = True
    available_tools: list[str] = Field(default_factory=lambda: list(NAMED))
    enabled_tools: list[str] = Field(default_factory=lambda: list(NAMED))


class PersonalityConfig(BaseModel):
    enabled: bool = True
    base_personality: str = "helpful_assistant"
    adaptation_enabled: bool = True


class WebSocketConfig(BaseModel):
    host: str = "localhost"
    port: int = 8765
    enabled: bool = False


class DashboardConfig(BaseModel):
    host: str = "localhost"
    port: int = 8080
    enabled: bool = True


class CodaConfig(BaseModel):
    voice: VoiceConfig = Field(default_factory=VoiceConfig)
    llm: LLMConfig = Field(default_factory=LLMConfig)
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    tools: ToolsConfig = Field(default_factory=ToolsConfig)
    personality: PersonalityConfig = Field(default_factory=PersonalityConfig)
    websocket: WebSocketConfig = Field(default_factory=WebSocketConfig)
    dashboard: DashboardConfig = Field(default_factory=DashboardConfig)
    debug: bool = False
    data_directory: str = "data"
    log_level: str = "INFO"


def load_config(config_path: Path | None = None) -> CodaConfig:
    """From a YAML file; a file that is missing is an empty one."""
    path = config_path or Path("configs/default.yaml")
    given = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
    for variable, (section, key) in FROM_ENVIRONMENT.items():
        if variable in os.environ:
            given.setdefault(section, {})[key] = os.environ[variable]
    Path(given.get("data_directory", "data")).mkdir(parents=True, exist_ok=True)
    return CodaConfig(**given)
