"""What every engine promises, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Generic, TypeVar

import pytest
import pytest_asyncio

from ..engine import Engine
from ..errors import EngineError
from .traces import Traces

E = TypeVar("E", bound=Engine)
R = TypeVar("R")


class EngineContract(Generic[E]):
    """Base of the three suites; override the fixture ``engine``."""

    pytestmark = pytest.mark.asyncio(loop_scope="class")

    foreign_tasks: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the qualified names of coroutines that are the test's own."""
    within_s: ClassVar[float] = 10.0
    """How long anything that should happen at once may take on a busy machine."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> E:
        """Your engine, made from its settings and not opened. Scope: class."""
        raise NotImplementedError("override the fixture `engine`: return your engine, not opened")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def opened(cls, engine: E) -> AsyncIterator[E]:
        """The engine that the tests share."""
        async with engine.open() as opened:
            yield opened

    async def use(self, engine: E) -> object:
        """Do the least that the engine is for; something true comes of it."""
        raise NotImplementedError

    async def soon(self, work: Awaitable[R]) -> R:
        """What comes of ``work``; a TimeoutError when it takes longer than ``within_s``."""
        async with asyncio.timeout(self.within_s):
            return await work

    async def test_it_has_a_name_and_a_label(self, opened: E) -> None:
        assert opened.name
        assert opened.name.strip() == opened.name
        assert opened.label.strip()

    async def test_it_says_which_weights_it_needs(self, engine: E) -> None:
        for need in await engine.weights():
            assert not isinstance(need, str), "each need is a list of alternatives"
            assert need
            assert all(isinstance(name, str) and name for name in need)

    async def test_it_is_made_of_its_settings_and_opened_again(self, engine: E) -> None:
        another = type(engine)(engine.config)
        with answers_or_refuses():
            await self.use(another)  # not opened: some need no opening
        traces = Traces(self.foreign_tasks)
        for _ in range(2):
            async with another.open() as opened:
                assert opened is another
                assert await self.use(another)
        await traces.gone(self.within_s)
        with answers_or_refuses():
            await self.use(another)


@contextmanager
def answers_or_refuses() -> Iterator[None]:
    """An EngineError is an answer too; any other exception is a fault of the engine."""
    said = "an EngineError"
    try:
        yield
    except EngineError as refusal:
        said = str(refusal)
    assert said.strip(), "an error says what happened"
    assert "\n" not in said, "an error is one line"
