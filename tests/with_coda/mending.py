"""Every repair of the core but one, or every one: so that each is seen to cure its own defect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from coda_voice_hooks import repairs

Mended = Callable[[str], bool]


@pytest.fixture(params=[False, True], ids=["without", "with"])
def mended(request: pytest.FixtureRequest) -> Mended:
    """Make all repairs, with and without the one that is named; tells whether it was made."""

    def mend(name: str) -> bool:
        outcomes = {each.name: each for each in repairs.repair(off=[] if request.param else [name])}
        wanted = "applied" if request.param else "off"
        assert outcomes[name].state == wanted, outcomes[name]
        return bool(request.param)

    return mend
