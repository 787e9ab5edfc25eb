"""The door for browsers and programs: one aiohttp application, one port."""

from .app import make_app
from .serving import probe, serve

__all__ = ["make_app", "probe", "serve"]
