"""The WebSocket."""

from .events import EventType
from .server import CodaWebSocketServer

__all__ = ["CodaWebSocketServer", "EventType"]
