"""Coda's core, its home in a temporary folder, and nothing left behind in the process."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from core import ChatServer, Core, chosen, end_leftovers, forget_singletons

# Test modules may import ``coda`` at their top.
chosen()


@pytest.fixture(scope="session")
def core() -> Core:
    """The core of this run: the miniature, or the checkout that ``CODA_CHECKOUT`` names."""
    return chosen()


@pytest.fixture(autouse=True)
async def coda_home(
    core: Core,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Path]:
    """The working directory, where the core stores its sessions; yields its path."""
    if request.node.get_closest_marker("coda") and not core.real:
        pytest.skip("needs a Coda checkout: CODA_CHECKOUT=path")
    from coda.interfaces.dashboard.server import CodaDashboardServer

    monkeypatch.chdir(tmp_path)
    forget_singletons()
    routes = CodaDashboardServer._setup_routes  # each assistant with a voice replaces it
    yield tmp_path
    if importlib.util.find_spec("coda_voice_hooks.repairs"):
        from coda_voice_hooks import repairs

        repairs.undo_all()
    CodaDashboardServer._setup_routes = routes
    await end_leftovers(core)
    forget_singletons()


@pytest.fixture
async def ollama() -> AsyncIterator[ChatServer]:
    """A language model behind Ollama's API, on a free port."""
    async with ChatServer().open() as server:
        yield server
