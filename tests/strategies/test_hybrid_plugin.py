"""The example of docs/hybrid.md: a way of its own, in a strategy of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hybrid_scene import Moshi, ScriptedHybrid, asking, play

DOCUMENT = Path(__file__).parents[2] / "docs" / "hybrid.md"


def example() -> dict[str, Any]:
    """What the document's block defines."""
    block = re.search(r"<!-- tested: .*?-->\n```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {"__name__": "example"}
    exec(block[1], names)
    return names


def test_a_plugins_way_brings_the_words_to_the_ear() -> None:
    theirs = example()["MyHybrid"]
    mine = type("Mine", (ScriptedHybrid, theirs), {"ways": theirs.ways})
    call = play(asking(12), model=Moshi(), strategy=mine, hybrid={"way": "whole"})
    (turn,) = call.turns()
    assert call.notices("answered")[0]["way"] == "whole"
    assert call.world.tts.spoken == [call.world.tts.spoken[0]], "in one piece"
    assert turn.assistant.split()[-12:] == turn.generated.split()[-12:]
    assert turn.error is None
