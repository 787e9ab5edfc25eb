"""A tool, and settings of the embedded mind, that several tests share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coda_voice_plugin import Tool, VoiceConfig


async def look_outside(arguments: Mapping[str, Any]) -> str:
    return f"In {arguments['city']} it is sunny, 24 degrees."


WEATHER = Tool(
    "weather",
    "Tells the weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city"],
    },
    look_outside,
)


def config(model: str, **settings: Any) -> VoiceConfig:
    embedded = {"model": model, "fallback_model": None, "context_window": 1024}
    return VoiceConfig.model_validate({"embedded_llm": embedded, "external_llm": settings})
