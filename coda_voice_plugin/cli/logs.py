"""Where log lines go: stderr, one line each, without anybody's words."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config import VoiceConfig

logger = logging.getLogger("coda_voice_plugin")
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def start_logging(config: VoiceConfig, *, verbose: bool = False) -> None:
    """Log to stderr at ``log.level``; ``verbose`` means debug.

    Other libraries speak from warnings on. What was said is logged only where
    ``log.transcripts`` asks for it, by the code that would log it.
    """
    level = logging.DEBUG if verbose else logging.getLevelName(config.log.level.upper())
    logging.basicConfig(format=FORMAT, level=logging.WARNING, force=True)
    for name in ("coda_voice_plugin", "coda_voice_hooks"):
        logging.getLogger(name).setLevel(level)
