"""Ways to try a method of the core without its surroundings, so that a defect shows itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, TypeVar

T = TypeVar("T")
LONGEST_S = 2.0
"""After which a trial has failed."""


def bare(cls: type, **attributes: Any) -> Any:
    """An instance of ``cls`` that was never initialised and has only these attributes."""
    made: Any = object.__new__(cls)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def anything(**attributes: Any) -> Any:
    """An object with these attributes."""
    return SimpleNamespace(**attributes)


def beside(function: Any, **names: Any) -> Any:
    """The same function with other globals: what it calls can be replaced for it alone."""
    return FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def in_thread(work: Callable[[], T]) -> T:
    """The result of ``work``, run in a thread without an event loop; raises what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # told to the caller
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="coda-voice-probe")
    thread.start()
    thread.join(LONGEST_S)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {LONGEST_S:.0f} s")
    return results[0]


def settle(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of the coroutine, run on an event loop of its own in a thread of its own."""

    async def limited() -> T:
        return await asyncio.wait_for(work(), LONGEST_S / 2)

    return in_thread(lambda: asyncio.run(limited()))


def fails(work: Callable[[], Any], *errors: type[BaseException]) -> bool:
    """Whether ``work`` raises one of ``errors``."""
    try:
        work()
    except errors:
        return True
    return False


@contextmanager
def quiet(module: ModuleType) -> Iterator[None]:
    """The module's log says nothing while its defects are tried."""
    logger = getattr(module, "logger", None)
    if logger is None:
        yield
        return
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


class Silent:
    """A log that forgets what it is told."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None
