"""What is written, made sayable: the text that a voice gets, and the captions beside it."""

from __future__ import annotations

from .alignment import align
from .clauses import ClauseSplitter
from .markup import clean
from .tokens import Sayable, speakable, spoken_text

__all__ = ["ClauseSplitter", "Sayable", "align", "clean", "speakable", "spoken_text"]
