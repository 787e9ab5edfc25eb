"""Sound: conversion, conditioning, files, and the front end of one call.

Everything here is synchronous and counts time in samples.
"""

from ..events import AudioFrame
from .completeness import patience, sentence_hint
from .conditioner import Conditioner
from .files import AudioClip, read_audio, stream_audio, write_audio
from .pcm import Floats, to_floats, to_pcm
from .processor import AudioProcessor
from .resample import Resampler
from .silero import Silero
from .smart_turn import SmartTurn
from .sounds import Began, Continued, Ended, Lasted, Paused, Sound, Voice

__all__ = [
    "AudioClip",
    "AudioFrame",
    "AudioProcessor",
    "Began",
    "Conditioner",
    "Continued",
    "Ended",
    "Floats",
    "Lasted",
    "Paused",
    "Resampler",
    "Silero",
    "SmartTurn",
    "Sound",
    "Voice",
    "patience",
    "read_audio",
    "sentence_hint",
    "stream_audio",
    "to_floats",
    "to_pcm",
    "write_audio",
]
