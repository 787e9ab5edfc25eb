"""Seats of a wheel that turns when there is something to do: they wait for a slot if need be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..errors import BusyError, EngineError, VoiceError
from .wheel import Wheel


class WaitingSeat(ABC):
    """Takes its slot with the first thing it has to give, and leaves it when it fails.

    Subclasses are whole seats (:class:`~.wheel.Seat`).
    """

    def __init__(self, wheel: Wheel[Any, Any]) -> None:
        self._wheel = wheel
        self._present = False  # has a slot or waits for one

    def fail(self, error: VoiceError) -> None:
        self._give_up(error)

    def _go(self) -> None:
        """There is something to give: be in a slot, or wait for one."""
        if self._present:
            self._wheel.wake()
            return
        try:
            self._wheel.wait(self)
            self._present = True
        except BusyError:
            self._give_up(self._full())
        except VoiceError as error:
            self._give_up(error)

    @property
    def _waits(self) -> bool:
        """Whether no slot was free yet."""
        return self._wheel.slot_of(self) is None

    @abstractmethod
    def gather(self) -> Any:
        """See :class:`~.wheel.Seat`."""

    @abstractmethod
    def give(self, out: Any) -> None:
        """See :class:`~.wheel.Seat`."""

    @abstractmethod
    def _give_up(self, error: VoiceError) -> None:
        """Nothing more comes of this, and why."""

    @abstractmethod
    def _full(self) -> EngineError:
        """All slots are taken."""
