"""Kyutai's own server as it is, on a CPU with a tiny model, in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START = """
import runpy, torch
torch.set_num_threads(1)
torch.cuda.synchronize = lambda *args, **kwargs: None  # it is called wherever it runs
runpy.run_module("moshi.server", run_name="__main__", alter_sys=True)
"""
STARTS_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


@contextmanager
def stock_server(checkpoint: Path, log: Path) -> Iterator[str]:
    """The address of a stock server; its process ends with the block."""
    port = free_port()
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "NO_TORCH_COMPILE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    words = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--static", "none"]
    words += ["--config-path", str(checkpoint / "config.json")]
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", START, *words],
            env=environment, stdout=written, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait(process, port, log)
        yield f"ws://127.0.0.1:{port}/api/chat"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"moshi.server did not start:\n{log.read_text()[-2000:]}")
