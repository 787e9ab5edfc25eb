"""Who is well: what failed, and the looks that tell when it may be used again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from coda_voice_plugin import BusyError, ContextOverflowError, EngineTimeoutError, VoiceError
from coda_voice_plugin.config.hybrid import FallbackSettings

logger = logging.getLogger(__name__)

Part = Literal["moshi", "llm", "other", "embedded", "stt", "tts"]
"""``llm``: the configured mind; ``other``: ``fallback.other_model``; ``embedded``: the mind in
this process."""
Probe = Callable[[], Awaitable[None]]

_CALLERS_FAULT = (BusyError, ContextOverflowError)
"""No place left, too long a conversation: trouble of one call, with a part that is well."""


@dataclass(frozen=True, slots=True)
class Change:
    """A part failed, or is well again."""

    part: Part
    up: bool
    reason: str
    """What failed, in words; empty when it is well again."""
    at: float
    """On the event loop's clock."""


@dataclass(slots=True)
class _State:
    """What is known of one part."""

    up: bool
    since: float
    probe: Probe | None = None
    reason: str = ""
    code: str = ""
    failures: int = 0
    strikes: deque[float] = field(default_factory=deque)
    good: int = 0  # looks in a row that went well
    due: float = 0.0  # when the next look begins
    looking: bool = False


class Health:
    """The parts of one process.

    An error makes a part down at once, missed deadlines do when ``strikes`` of them fall
    into ``strike_window_ms``. Only looks lift it: ``probes`` in a row that go well. While a
    part is down a look begins each ``probe_ms``, or as soon as the last one is over; each
    has ``probe_timeout_ms``, and no part waits for the looks of another.

    Back to the preferred way: a part that heals is up again after at most
    ``(probes + 1) * max(probe_ms, probe_timeout_ms)``, 4.5 s with the default settings. One
    look may have begun just before and hang to its end; those behind it may each take all
    of their time.

    Flapping: a part is down for ``probes * probe_ms`` at least, so in any stretch of that
    length it is lifted at most once, however often it changes.
    """

    def __init__(self, settings: FallbackSettings) -> None:
        self._settings = settings
        self._states: dict[Part, _State] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._wake = asyncio.Event()

    def add(self, part: Part, probe: Probe) -> None:
        """The part is there and counts as well, unless it was told to be missing.

        ``probe`` raises VoiceError or TimeoutError while the part is not well; it is
        cancelled when it takes too long.
        """
        state = self._states.get(part)
        if state is None:
            self._states[part] = _State(up=True, since=_now(), probe=probe)
            self._tell(Change(part, True, "", _now()))
        else:
            state.probe = probe
            self._wake.set()

    def missing(self, part: Part, error: VoiceError) -> None:
        """The part never came up. Looked at only if it was added, before or after this."""
        if part not in self._states:
            self._states[part] = _State(up=True, since=_now())
        self._down(part, str(error), error.code)

    def has(self, part: Part) -> bool:
        """Whether the part was added: it is there, or may come."""
        state = self._states.get(part)
        return state is not None and state.probe is not None

    def up(self, part: Part) -> bool:
        """Whether the part can be used; one that nobody told of cannot."""
        state = self._states.get(part)
        return state is not None and state.up

    def down(self) -> tuple[Part, ...]:
        """The parts that were told of and cannot be used now."""
        return tuple(part for part, state in self._states.items() if not state.up)

    def reason(self, part: Part) -> str:
        """Why the part is down, in words; empty when it is up or nobody told of it."""
        state = self._states.get(part)
        return "" if state is None else state.reason

    def failed(self, part: Part, error: VoiceError) -> None:
        """The part raised ``error``: it is down at once.

        A conversation that is too long and a place that is taken are not its fault.
        Raises KeyError for a part that nobody told of, like :meth:`late` and :meth:`well`.
        """
        state = self._states[part]
        if not isinstance(error, _CALLERS_FAULT):
            state.failures += 1
            self._down(part, str(error), error.code)

    def late(self, part: Part, why: str) -> None:
        """The part missed a deadline, is silent or falls behind: a strike."""
        state = self._states[part]
        if not state.up:
            return
        now = _now()
        while state.strikes and state.strikes[0] <= now - self._settings.strike_window_ms / 1000:
            state.strikes.popleft()
        state.strikes.append(now)
        if len(state.strikes) >= self._settings.strikes:
            state.failures += 1
            self._down(part, why, EngineTimeoutError.code)

    def well(self, part: Part) -> None:
        """The part did its work: its strikes are forgotten. Lifts no failure: only looks do."""
        self._states[part].strikes.clear()

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Have ``listener`` told of each change, in the call that makes it; returns what
        ends that."""
        self._listeners.append(listener)
        return partial(self.unsubscribe, listener)

    def unsubscribe(self, listener: Callable[[Change], None]) -> None:
        """Tell ``listener`` no more; raises ValueError if it was not told."""
        self._listeners.remove(listener)

    def report(self) -> Mapping[str, Any]:
        """By part: ``up``, ``since`` (seconds ago), ``reason``, ``code``, ``failures`` (in all),
        ``strikes`` (held against it now)."""
        now = _now()
        window = self._settings.strike_window_ms / 1000
        return {
            part: {
                "up": state.up,
                "since": round(now - state.since, 1),
                "reason": state.reason,
                "code": state.code,
                "failures": state.failures,
                "strikes": sum(at > now - window for at in state.strikes),
            }
            for part, state in self._states.items()
        }

    async def run(self) -> None:
        """Look at the parts that are down, side by side; ends only when it is cancelled."""
        async with asyncio.TaskGroup() as looks:
            while True:
                self._wake.clear()
                for part, state in self._states.items():
                    if _waits(state) and state.due <= _now():
                        state.looking = True
                        state.due = _now() + self._settings.probe_ms / 1000
                        looks.create_task(self._look(part, state), name=f"look at {part}")
                due = [state.due for state in self._states.values() if _waits(state)]
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(min(due, default=None)):
                        await self._wake.wait()

    async def _look(self, part: Part, state: _State) -> None:
        """Ask the part once; what it says counts, unless it failed again meanwhile."""
        assert state.probe is not None
        failures = state.failures
        good, state.good = state.good, 0  # a look that does not go well begins the count anew
        limit_ms = self._settings.probe_timeout_ms
        patience = asyncio.timeout(limit_ms / 1000)
        try:
            async with patience:
                await state.probe()
        except VoiceError as error:
            state.reason, state.code = str(error), error.code
        except TimeoutError as error:
            state.reason = str(error)
            if patience.expired() or not state.reason:
                state.reason = f"it does not answer within {limit_ms} ms"
            state.code = EngineTimeoutError.code
        except Exception as error:  # a bug in others' code: run() must go on
            logger.exception("the look at %s failed itself", part)
            state.reason, state.code = f"{type(error).__name__}: {error}", VoiceError.code
        else:
            if state.failures == failures:
                state.good = good + 1
                self._lift_if_well(part, state)
        finally:
            state.looking = False
            self._wake.set()

    def _lift_if_well(self, part: Part, state: _State) -> None:
        if state.up or state.good < self._settings.probes:
            return
        state.up, state.since, state.reason, state.code = True, _now(), "", ""
        logger.info("%s is well again", part)
        self._tell(Change(part, True, "", state.since))

    def _down(self, part: Part, reason: str, code: str) -> None:
        state = self._states[part]
        state.reason, state.code, state.good = reason, code, 0
        if not state.up:
            return
        state.up, state.since = False, _now()
        state.due = state.since + self._settings.probe_ms / 1000
        state.strikes.clear()
        logger.warning("%s is down: %s", part, reason)
        self._wake.set()
        self._tell(Change(part, False, reason, state.since))

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:
                logger.exception("a listener failed at the change of %s", change.part)


def _waits(state: _State) -> bool:
    """Whether the next look at a part is a matter of time."""
    return not state.up and state.probe is not None and not state.looking


def _now() -> float:
    return asyncio.get_running_loop().time()
