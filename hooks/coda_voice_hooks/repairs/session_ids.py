"""Which session ids may come from a client: the core makes file names of them."""

from __future__ import annotations

import re
from typing import Any

LONGEST = 128
_ALLOWED = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


def checked_id(given: Any) -> str:
    """``given``, if it may be a session's id; raises ValueError."""
    if isinstance(given, str) and _ALLOWED.fullmatch(given):
        return given
    raise ValueError(
        f"a session id has at most {LONGEST} letters, digits and the characters . _ -, and does "
        f"not start with a dot; got {str(given)[:40]!r}."
    )
