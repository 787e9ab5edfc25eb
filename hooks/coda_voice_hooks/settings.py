"""What the hooks into Coda can be told: ``voice.plugins.settings.coda`` in the settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, PositiveInt, ValidationError

from coda_voice_plugin import ConfigError, Settings, VoiceConfig
from coda_voice_plugin.config.base import Fraction

PLUGIN = "coda"
"""Name of the hooks among the plugins, and of their section under ``plugins.settings``."""


class CodaSettings(Settings):
    """Every setting of the hooks; the defaults suit a stock Coda."""

    repairs: bool = True
    """Mend the core's known defects while it runs; its files are not touched."""
    repairs_off: tuple[str, ...] = ()
    """Names of repairs that are not wanted; `coda-voice doctor` lists them."""
    door: bool = True
    """Also serve our own page and protocols, at `server.host` and `server.port`."""
    memory_limit: Annotated[int, Field(ge=0, le=50)] = 4
    """Memories that the mind is given at most before an answer."""
    memory_tokens: PositiveInt = 300
    """Tokens of memories that the mind is given at most before an answer."""
    memory_relevance: Fraction = 0.3
    """Memories less relevant than this are left out."""
    facts: bool = True
    """Store what the user says about himself as a fact of its own."""
    personality_learns: bool = True
    """Let the personality change by what is said and how the user takes it."""
    voice: str | None = None
    """Voice that the personality speaks with, by its name at the speaking engine; None leaves it
    to the engine's own settings."""
    tools_allowed: tuple[str, ...] = ()
    """Tools that need authorisation or are dangerous, and may be used by voice all the same."""
    tools_hidden: tuple[str, ...] = (
        "generate_uuid",
        "timestamp",
        "get_environment",
        "get_process_info",
    )
    """Tools that are never offered by voice: what they return is not for the ear, or not for
    whoever is in the room, and each description takes room in the mind's context."""


def settings_of(config: VoiceConfig) -> CodaSettings:
    """The hooks' part of the settings; raises ConfigError with a line for every problem."""
    given: Any = config.plugins.settings.get(PLUGIN, {})
    try:
        return CodaSettings.model_validate(given)
    except ValidationError as error:
        lines = [
            f"voice.plugins.settings.{PLUGIN}.{'.'.join(map(str, each['loc']))}: {each['msg']}."
            for each in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from error
