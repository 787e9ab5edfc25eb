"""The opened voice in a task of its own: Coda opens and closes it from different tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from coda_voice_plugin import (
    EngineDownError,
    EngineError,
    Host,
    Plugins,
    ServerError,
    VoiceConfig,
    VoiceError,
    WeightsError,
    load_plugins,
    open_host,
)
from coda_voice_plugin.server import open_door

from .background import Background

logger = logging.getLogger(__name__)

CHAIN = "ollama"
"""Strategy that talks on any machine: an ear, a mind and a mouth one after the other."""
OPENING = "the voice is being opened; wait a moment."
CLOSED = "the voice is closed."
PARTING_S = 3.0
"""Time that conversations have to end when the voice is closed."""
FETCHED_SHARE = 10
"""A download is told in steps of so many percent."""


class RunningVoice:
    """One opened :class:`Host`, and the door beside it. Its only loop is its task."""

    def __init__(
        self,
        config: VoiceConfig,
        guests: Callable[[Background], Sequence[tuple[str, object]]],
        *,
        door: bool = True,
        port: int | None = None,
    ) -> None:
        self.config = config
        self.host: Host | None = None
        self.url: str | None = None
        """Where our own page and protocols are, if they are."""
        self.why_not = CLOSED
        """Why there is no host, in a sentence."""
        self.instead = ""
        """What was opened instead of what the settings ask for, and why."""
        self.background = Background()
        self._guests = guests
        self._door, self._port = door, port
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Open everything; raises VoiceError when it cannot be, with the reason and the remedy."""
        if self._task is not None:
            return
        self.why_not = OPENING
        self._stop.clear()
        self._settled.clear()
        # Inside Coda nobody above us has a task group: this task is the root of all of ours.
        self._task = asyncio.get_running_loop().create_task(self._run(), name="coda voice")
        try:
            await self._settled.wait()
        except asyncio.CancelledError:
            await self.stop()
            raise
        if self.host is None:
            task, self._task = self._task, None
            await task

    async def stop(self) -> None:
        """End every conversation and free everything."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stop.set()
        if not self._settled.is_set():  # models are being loaded: they need not be waited for
            task.cancel()
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise

    async def _run(self) -> None:
        try:
            plugins = await asyncio.to_thread(self._load)
            async with AsyncExitStack() as stack:
                host = await self._open(stack, plugins)
                await stack.enter_async_context(self.background.open())
                await self._open_door(stack, host)
                self.host, self.why_not = host, ""
                self._settled.set()
                await self._stop.wait()
                self.host, self.why_not = None, CLOSED
                await _part(host)
        except VoiceError as error:
            self.why_not = str(error)
            raise
        except Exception as error:
            self.why_not = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.host = self.url = None
            self._settled.set()

    def _load(self) -> Plugins:
        return load_plugins(self.config.plugins.disabled, self._guests(self.background))

    async def _open(self, stack: AsyncExitStack, plugins: Plugins) -> Host:
        """The host of the settings; where Moshi cannot be, the chain that needs no GPU."""
        try:
            return await stack.enter_async_context(
                open_host(self.config, plugins, progress=_Progress())
            )
        except (EngineError, WeightsError) as error:
            if self.config.strategy != "moshi":
                raise
            self.instead = f"Moshi cannot speak here, the {CHAIN} chain does instead: {error}"
        logger.warning("%s", self.instead)
        config = self.config.model_copy(update={"strategy": CHAIN})
        return await stack.enter_async_context(open_host(config, plugins, progress=_Progress()))

    async def _open_door(self, stack: AsyncExitStack, host: Host) -> None:
        if not self._door:
            return
        try:
            self.url = await stack.enter_async_context(open_door(host, port=self._port))
        except ServerError as error:  # Coda's own ports serve the voice all the same
            logger.warning("our own page is not served: %s", error)


async def _part(host: Host) -> None:
    """End all conversations: their clients learn why, and their finished turns are kept."""
    sessions = list(host.sessions.values())
    for session in sessions:
        session.end(EngineDownError("voice", "is being closed or restarted; talk again soon."))
    try:
        async with asyncio.timeout(PARTING_S):
            for session in sessions:
                await session.over()
    except TimeoutError:
        logger.warning("some conversations did not end within %g s", PARTING_S)


class _Progress:
    """Tells the log how far a download is."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        share = 100 * done // total if total else 0
        step = share // FETCHED_SHARE
        if step > self._told.get(name, 0):
            self._told[name] = step
            logger.info("fetching %s: %d %% of %d MB", name, share, total // 1_000_000)
