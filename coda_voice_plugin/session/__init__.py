"""One conversation: its ear, its mouth, its tasks and its record."""

from .call import Call, Prompt
from .reply import Reply
from .session import Session

__all__ = ["Call", "Prompt", "Reply", "Session"]
