"""A model's thread on the virtual clock: a step takes the model's ``cost`` of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from coda_voice_plugin import ModelThread


class VirtualThread(ModelThread):
    def __init__(self, name: str, model: Any) -> None:
        super().__init__(name)
        self.model = model

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if work.__name__ == "step":
            await asyncio.sleep(self.model.cost)
        return work(*args, **kwargs)
