"""Give an assistant of Coda's a voice, with no edit to its core."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attachment import MARK, Attachment
from .choosing import choose
from .pages import DASHBOARD_REPAIRS
from .repairs import repair

if TYPE_CHECKING:
    from coda_voice_plugin import VoiceConfig
    from coda_voice_plugin.config import LoadedConfig


def enable(
    assistant: Any,
    config: VoiceConfig | LoadedConfig | Path | str | None = None,
    *,
    plugins: Iterable[tuple[str, object]] = (),
) -> Attachment:
    """Join a voice to ``assistant``; it is opened by ``assistant.initialize()``.

    ``config`` are settings of ours or a settings file; None takes the ``voice`` section of
    the assistant's own configuration. ``plugins`` are more plugin objects by name. Call it
    before ``initialize``; for an assistant that runs already, await the result's
    :meth:`Attachment.join`. Twice is once. Raises ConfigError with a line for every problem of
    the settings.
    """
    existing = getattr(assistant, MARK, None)
    if isinstance(existing, Attachment):
        return existing
    chosen = choose(config, assistant.config)
    page = [each.name for each in DASHBOARD_REPAIRS]
    outcomes = repair(chosen.hooks.repairs_off, chosen.hooks.repairs, page)
    attachment = Attachment(assistant, chosen, outcomes, tuple(plugins))
    setattr(assistant, MARK, attachment)
    attachment.prepare()
    return attachment
