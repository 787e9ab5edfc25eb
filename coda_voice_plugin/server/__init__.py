"""The door for browsers and programs: one aiohttp application, one port.

aiohttp is loaded when one of the names is first asked for: a plugin of this room is
loaded by every process, also by those that serve nobody.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import make_app, report_health
    from .clients import DOOR, HOST, Door, Limits
    from .origins import guard, is_loopback, stranger
    from .serving import open_door, probe, serve
    from .voice import VoiceSocket

__all__ = [
    "DOOR",
    "HOST",
    "Door",
    "Limits",
    "VoiceSocket",
    "guard",
    "is_loopback",
    "make_app",
    "open_door",
    "probe",
    "report_health",
    "serve",
    "stranger",
]

_HOME = {
    "DOOR": "clients",
    "HOST": "clients",
    "Door": "clients",
    "Limits": "clients",
    "VoiceSocket": "voice",
    "guard": "origins",
    "is_loopback": "origins",
    "make_app": "app",
    "open_door": "serving",
    "probe": "serving",
    "report_health": "app",
    "serve": "serving",
    "stranger": "origins",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
