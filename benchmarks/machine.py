"""The machine that the figures come from, in words and for the raw data."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, load, Python, and the versions of ``packages``."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*:\s*(.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    found: dict[str, Any] = {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    if packages:
        found["packages"] = {name: version(name) for name in packages}
    return found


def describe() -> str:
    """One sentence."""
    found = machine()
    return f"Machine: {found['cpu']}, {found['cores']} cores, Python {found['python']}."
