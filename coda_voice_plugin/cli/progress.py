"""Progress of downloads: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

MB = 1_000_000
WIDTH = 28


class Bars:
    """Call it with (name, bytes done, bytes total); see :data:`weights.Progress`.

    On a terminal one line is redrawn at each percent; in a log file a line is
    written at each tenth, so that a CI log stays readable.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._shown: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        step = percent if self._terminal else percent // 10 * 10
        if step <= self._shown.get(name, -1):
            return  # nothing new, or a part is fetched a second time
        self._shown[name] = step
        size = f"{done / MB:,.0f} of {total / MB:,.0f} MB"
        if not self._terminal:
            self._out.write(f"fetching {name}: {step} % ({size})\n")
        else:
            bar = "#" * (WIDTH * percent // 100)
            self._out.write(f"\r{name:<20} [{bar:<{WIDTH}}] {percent:3d} % {size}")
            if done >= total:
                self._out.write("\n")
        self._out.flush()
