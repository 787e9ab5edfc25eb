"""The tasks of an opened engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose tasks are the caller's to end.

    An error of the block comes out as itself, not in a group.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            failure = error
    if failure is not None:
        raise failure
