"""The strategies of the house and of the documentation, held to the contract."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coda_voice_plugin import Strategy
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import StrategyContract

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "coda-voice-parrot"


class TestOllama(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return OllamaStrategy()


class TestParrot(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> Strategy:
        monkeypatch.syspath_prepend(EXAMPLE)
        from coda_voice_parrot import Parrot

        parrot: Strategy = Parrot()
        monkeypatch.delitem(sys.modules, "coda_voice_parrot")
        return parrot
