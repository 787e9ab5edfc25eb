"""Importing the package is cheap: heavy parts load when they are used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

HEAVY = {
    "torch", "moshi", "onnxruntime", "moonshine_voice", "hibari", "xllamacpp", "ollama", "av",
    "webrtcvad", "pywebrtc_audio", "sounddevice", "aiohttp",
}  # fmt: skip
COST = """
import json, sys, time
from pathlib import Path
began = time.perf_counter()
{statement}
took = time.perf_counter() - began
# not getrusage: its peak begins with that of the process that started this one
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({{"seconds": took, "peak_mb": peak, "modules": sorted(sys.modules)}}))
"""


def cost(statement: str) -> dict[str, object]:
    """Run it in a fresh interpreter: seconds, peak MB of the process, modules."""
    done = subprocess.run(
        [sys.executable, "-c", COST.format(statement=statement)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("statement", "most_mb"),
    [
        ("import coda_voice_plugin", 50),
        ("import coda_voice_plugin.cli", 50),
        ("from coda_voice_plugin import Strategy, hookimpl, VoiceConfig", 100),
        ("from coda_voice_plugin import load_plugins; load_plugins()", 120),
        ("import coda_voice_plugin.server", 140),
    ],
)
def test_an_import_is_cheap(
    statement: str, most_mb: float, record_property: Callable[[str, object], None]
) -> None:
    found = cost(statement)
    record_property("seconds", found["seconds"])
    record_property("peak_mb", found["peak_mb"])
    modules = found["modules"]
    assert isinstance(modules, list)
    allowed = {"aiohttp"} if "server" in statement else set()
    assert HEAVY.intersection(modules) <= allowed
    assert isinstance(found["peak_mb"], float)
    assert found["peak_mb"] < most_mb


def test_the_package_itself_brings_no_library_at_all() -> None:
    modules = cost("import coda_voice_plugin")["modules"]
    assert isinstance(modules, list)
    assert not {"numpy", "pydantic", "pluggy", "yaml", "asyncio"}.intersection(modules)
