"""Moshi, opened once for all the calls of a process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from ..config import VoiceConfig
from .batch import MoshiBatch
from .checkpoint import Loaded
from .frames import MoshiInput, MoshiOutput
from .persona import SnapshotCache
from .wheel import Wheel

logger = logging.getLogger(__name__)


class MoshiEngine:
    """The model in its batch, and the lines to it."""

    def __init__(self, config: VoiceConfig) -> None:
        self._config = config
        self._personas = SnapshotCache()
        self.loaded: Loaded
        self.wheel: Wheel[MoshiInput, MoshiOutput]
        self._batch: MoshiBatch

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Load the checkpoint and turn until the block ends."""
        raise NotImplementedError
        yield self
