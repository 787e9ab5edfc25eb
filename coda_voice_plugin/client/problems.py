"""What the server says went wrong, as the errors of this package."""

from __future__ import annotations

from ..errors import (
    AudioError,
    BusyError,
    ConfigError,
    ServerError,
    StoreError,
    TakenOverError,
    TokenError,
    VoiceError,
    WireError,
)
from ..events import Problem
from .transport import Closed

OVER = 1000
"""Close code: the conversation has ended as it should."""
AWAY = 1001
"""Close code: this side goes, and may come back."""
REPLACED = 4001
"""Close code: a newer socket has the session."""
_REFUSED = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
_PLAIN = {kind.code: kind for kind in (AudioError, ConfigError, StoreError, WireError)}


def error_of(problem: Problem, session: str) -> VoiceError:
    """The error that stands for a fatal ``problem``; ServerError for codes without their own."""
    if problem.code == BusyError.code:
        return BusyError(0, problem.message)
    if problem.code == TokenError.code:
        return TokenError(session)
    if problem.code == TakenOverError.code:
        return TakenOverError(session)
    return _PLAIN.get(problem.code, ServerError)(problem.message)


def end_of(closed: Closed, session: str) -> VoiceError | None:
    """What a close without a problem means: an error, or None for a connection that broke."""
    if closed.code == REPLACED:
        return TakenOverError(session)
    if closed.code in _REFUSED:
        reason = closed.reason or "no reason given"
        return WireError(f"the server closed the connection ({closed.code}): {reason}.")
    return None
