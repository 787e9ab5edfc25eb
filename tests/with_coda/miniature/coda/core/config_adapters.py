"""The assistant's settings in the shape that its parts want."""

from __future__ import annotations

from typing import Any

from ..components.llm.models import LLMConfig, LLMProvider, ProviderConfig
from ..components.personality.models import PersonalityConfig
from ..components.tools.models import ToolConfig, ToolRegistryConfig
from ..components.voice.models import (
    AudioConfig,
    ExternalLLMConfig,
    MoshiConfig,
    VoiceConfig,
    VoiceProcessingMode,
)
from .config import CodaConfig

MODES = {mode.value: mode for mode in VoiceProcessingMode if mode.value != "adaptive"}


class ConfigAdapter:
    @staticmethod
    def adapt_config_for_component(coda_config: CodaConfig, component: str) -> Any:
        match component:
            case "llm":
                return _llm(coda_config)
            case "tools":
                return ToolConfig(registry=ToolRegistryConfig(auto_discover_plugins=False))
            case "personality":
                return PersonalityConfig()
            case "voice":
                return _voice(coda_config)
        raise ValueError(f"Unknown component: {component}")


def _llm(config: CodaConfig) -> LLMConfig:
    """A provider that nobody knows is taken for OpenAI."""
    known = [provider.value for provider in LLMProvider if provider.value != "huggingface"]
    given = config.llm
    provider = ProviderConfig(
        provider=LLMProvider(given.provider if given.provider in known else "openai"),
        model=given.model,
        api_key=given.api_key,
        api_base=given.base_url,
        temperature=given.temperature,
        max_tokens=given.max_tokens,
    )
    return LLMConfig(providers={"default": provider}, default_provider="default")


def _voice(config: CodaConfig) -> VoiceConfig:
    """A mode that nobody knows, adaptive too, is taken for moshi_only; the rate for 16 kHz."""
    given = config.voice
    return VoiceConfig(
        mode=MODES.get(given.mode, VoiceProcessingMode.MOSHI_ONLY),
        conversation_mode=given.conversation_mode,
        audio=AudioConfig(**({"sample_rate": 16_000} | _known(AudioConfig, given.audio))),
        moshi=MoshiConfig(**_known(MoshiConfig, given.moshi)),
        external_llm=ExternalLLMConfig(**_known(ExternalLLMConfig, given.external_llm)),
        memory_integration_enabled=given.memory_integration_enabled,
        personality_integration_enabled=given.personality_integration_enabled,
        tools_integration_enabled=given.tools_integration_enabled,
        websocket_events_enabled=given.websocket_events_enabled,
    )


def _known(model: Any, given: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (given or {}).items() if key in model.model_fields}
