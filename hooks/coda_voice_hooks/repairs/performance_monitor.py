"""The core's performance monitor, which watches from a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .base import Patches, Repair
from .probing import bare, quiet, settle

MODULE = "coda.core.performance_monitor"


def _calls_from_its_thread(module: ModuleType) -> bool:
    def told(_alert: Any) -> None:
        return None

    monitor = bare(module.CodaPerformanceMonitor, alert_callbacks=[])

    async def add() -> None:
        monitor.add_alert_callback(told)

    with quiet(module):
        settle(add)
    return told in monitor.alert_callbacks


def _call_on_the_loop(module: ModuleType, patches: Patches) -> None:
    original = module.CodaPerformanceMonitor.add_alert_callback

    def add_alert_callback(self: Any, callback: Callable[[Any], None]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            original(self, callback)
            return

        def told(alert: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback, alert)

        original(self, told)

    patches.set(module.CodaPerformanceMonitor, "add_alert_callback", add_alert_callback)


REPAIRS = (
    Repair(
        "alerts-have-no-loop",
        "Performance alerts are lost: 'Alert callback error: no running event loop'.",
        MODULE,
        _calls_from_its_thread,
        _call_on_the_loop,
    ),
)
