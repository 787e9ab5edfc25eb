"""Tools."""

from .base_tool import BaseTool
from .manager import ToolManager

__all__ = ["BaseTool", "ToolManager"]
