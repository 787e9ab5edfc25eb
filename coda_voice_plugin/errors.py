"""Everything that can go wrong on purpose, as one tree.

::

    VoiceError                       code "voice_error"
    +-- ConfigError                  a setting is unknown, malformed or impossible
    +-- PluginError                  a plugin failed to load, or broke its promise
    |   +-- UnknownNameError         no strategy, STT, TTS or LLM of that name
    +-- AudioError                   bytes or a file that are not usable sound
    +-- WireError                    a message that the protocol does not allow
    +-- EngineError                  an ear, a mouth or a mind failed
    |   +-- EngineMissingError       its package is not installed: names the extra
    |   +-- EngineTimeoutError       it missed its deadline
    |   +-- EngineDownError          nobody answers at its address
    |   +-- EngineGarbledError       what answers there does not speak its protocol
    |   +-- ModelMissingError        it has no such model: names the command
    |   +-- ModelTooBigError         the model does not fit into its memory
    |   +-- WrongModelError          the files are not a model of the kind that is needed
    |   +-- NoDeviceError            the GPU that the settings ask for is not there
    |   +-- ContextOverflowError     the conversation does not fit into the context
    |   +-- AnswerBrokenError        the answer broke off in the middle
    +-- WeightsError                 model files: unreachable, damaged, wrong hash
    +-- StoreError                   the session store cannot be read or written
    +-- BusyError                    all places are taken
    +-- ServerError                  the door cannot open: port in use, bad address
    +-- TakenOverError               the conversation goes on with another client
    +-- TokenError                   the conversation may not be gone on with by this client

Each class has a stable ``code`` that clients may rely on; the message says what
happened and what to do about it, in one line fit for a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class VoiceError(Exception):
    """Base of every error that this package raises on purpose."""

    code: ClassVar[str] = "voice_error"


class ConfigError(VoiceError):
    """A setting is unknown, malformed or impossible; the message names its path."""

    code = "config"


class PluginError(VoiceError):
    """A plugin failed to load or broke its promise; the message names the plugin."""

    code = "plugin"


class UnknownNameError(PluginError):
    """The configured strategy or engine is not installed.

    ``kind`` is "strategy", "stt", "tts" or "llm".
    """

    code = "unknown_name"

    def __init__(self, kind: str, name: str, installed: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.installed = sorted(installed)
        close = get_close_matches(name, self.installed, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        have = ", ".join(self.installed) or "none"
        super().__init__(f"no {kind} named {name!r}.{hint} Installed: {have}.")


class AudioError(VoiceError):
    """Bytes or a file that cannot be used as sound."""

    code = "audio"


class WireError(VoiceError):
    """A message that the protocol does not allow."""

    code = "wire"


class EngineError(VoiceError):
    """An ear, a mouth or a mind failed. ``engine`` is its name."""

    code = "engine"

    def __init__(self, engine: str, message: str) -> None:
        self.engine = engine
        super().__init__(f"{engine}: {message}")


class EngineMissingError(EngineError):
    """The package behind an engine is not installed."""

    code = "engine_missing"

    def __init__(self, engine: str, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            engine,
            f"the package {package!r} is not installed; run "
            f"`pip install 'coda-voice-plugin[{extra}]'`.",
        )


class EngineTimeoutError(EngineError):
    """An engine missed its deadline."""

    code = "engine_timeout"


class EngineDownError(EngineError):
    """Nobody answers at the engine's address, or it hangs up before it answers."""

    code = "engine_down"


class EngineGarbledError(EngineError):
    """What answers at the engine's address does not speak the engine's protocol."""

    code = "engine_garbled"


class ModelMissingError(EngineError):
    """The engine has no such model. ``model`` is its name; the message says how to get it."""

    code = "model_missing"

    def __init__(self, engine: str, model: str, message: str) -> None:
        self.model = model
        super().__init__(engine, message)


class ModelTooBigError(EngineError):
    """The model needs ``need`` bytes of memory where ``have`` are free (None: not told)."""

    code = "model_too_big"

    def __init__(
        self, engine: str, message: str, *, need: int | None = None, have: int | None = None
    ) -> None:
        self.need = need
        self.have = have
        super().__init__(engine, message)


class WrongModelError(EngineError):
    """The files are no model, or one of another kind than is needed."""

    code = "wrong_model"


class NoDeviceError(EngineError):
    """The GPU that the settings ask for is not there, or PyTorch cannot use it."""

    code = "no_device"


class ContextOverflowError(EngineError):
    """The conversation has ``need`` tokens or more, and ``have`` fit (None: not told)."""

    code = "context_overflow"

    def __init__(
        self, engine: str, message: str, *, need: int | None = None, have: int | None = None
    ) -> None:
        self.need = need
        self.have = have
        super().__init__(engine, message)


class AnswerBrokenError(EngineError):
    """An answer began and broke off: what was given of it is all there is."""

    code = "answer_broken"


class WeightsError(VoiceError):
    """A model file is unreachable, damaged, or not the one that was promised."""

    code = "weights"


class StoreError(VoiceError):
    """The session store cannot be read or written."""

    code = "store"


class BusyError(VoiceError):
    """All places are taken. ``capacity`` is how many there are."""

    code = "busy"

    def __init__(self, capacity: int, message: str = "") -> None:
        self.capacity = capacity
        super().__init__(
            message
            or f"all {capacity} places are taken; try again when a call has ended, "
            "or raise server.max_sessions."
        )


class ServerError(VoiceError):
    """The server cannot open its door."""

    code = "server"


class TakenOverError(VoiceError):
    """The conversation goes on with another client, which asked for it by its id."""

    code = "taken_over"

    def __init__(self, session: str) -> None:
        super().__init__(f"conversation {session} goes on in another window.")


class TokenError(VoiceError):
    """The client may not go on with this conversation: its token is wrong, or it has none."""

    code = "token"

    def __init__(self, session: str) -> None:
        super().__init__(
            f"this token does not open conversation {session}; say hello without a token and "
            "without its id to begin a new one."
        )
