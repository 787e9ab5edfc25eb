"""Alerts when the machine is busy, told from a thread that has no event loop.

The core's measures the machine once a second in that thread; this one measures nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger("coda.performance_monitor")


@dataclass
class PerformanceAlert:
    alert_id: str
    component: str
    metric_name: str
    current_value: float
    threshold_value: float
    severity: str
    message: str
    timestamp: float = 0.0


class CodaPerformanceMonitor:
    def __init__(self) -> None:
        self.monitoring_active = False
        self.monitoring_thread: threading.Thread | None = None
        self.active_alerts: dict[str, PerformanceAlert] = {}
        self.alert_callbacks: list[Callable[[PerformanceAlert], None]] = []

    def start_monitoring(self) -> None:
        self.monitoring_active = True

    def stop_monitoring(self) -> None:
        self.monitoring_active = False

    def add_alert_callback(self, callback: Callable[[PerformanceAlert], None]) -> None:
        self.alert_callbacks.append(callback)

    def _generate_alert(
        self, component: str, metric_name: str, current_value: float, severity: str
    ) -> None:
        alert = PerformanceAlert(
            alert_id=f"{component}_{metric_name}_{severity}",
            component=component,
            metric_name=metric_name,
            current_value=current_value,
            threshold_value=80.0,
            severity=severity,
            message=f"{component} {metric_name} is {current_value:.1f}",
        )
        if alert.alert_id in self.active_alerts:
            return
        self.active_alerts[alert.alert_id] = alert
        for callback in self.alert_callbacks:
            try:
                callback(alert)
            except Exception as error:
                logger.error("Alert callback error: %s", str(error))

    def get_performance_summary(self) -> dict[str, Any]:
        return {"monitoring_active": self.monitoring_active}


_global_performance_monitor: CodaPerformanceMonitor | None = None


def get_performance_monitor() -> CodaPerformanceMonitor:
    global _global_performance_monitor
    if _global_performance_monitor is None:
        _global_performance_monitor = CodaPerformanceMonitor()
    return _global_performance_monitor
