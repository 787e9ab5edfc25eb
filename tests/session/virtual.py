"""The virtual clock of ``coda_voice_plugin.testing``."""

from coda_voice_plugin.testing import run_virtual

__all__ = ["run_virtual"]
