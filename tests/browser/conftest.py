"""What the page's tests share."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from chromium import launched, write_wav

# the scripted engines of the server's tests serve here too
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))


@pytest.fixture(scope="session")
def silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A microphone in a quiet room."""
    return write_wav(tmp_path_factory.mktemp("mic") / "silence.wav", np.zeros(48_000, np.float32))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(silence: Path) -> AsyncIterator[Any]:
    """One Chromium for a file of tests."""
    async with launched(silence) as browser:
        yield browser
