"""How much each reason counts: the built-in numbers, or a file of the user's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from coda_voice_plugin import ConfigError

from .reasons import REASONS

BUILT_IN = Path(__file__).with_name("weights.json")
LARGEST = 100.0
"""A weight beyond this is a mistake: a logistic function is 1 long before."""
AGAIN = "write it again with `python benchmarks/routing.py --fit FILE`"


@dataclass(frozen=True)
class Weights:
    """Log-odds of needing the language model: ``bias`` + the weights of what holds."""

    bias: float
    weights: Mapping[str, float]

    def log_odds(self, found: Mapping[str, float]) -> float:
        return self.bias + sum(self.weights[name] * value for name, value in found.items())


def load_weights(file: str | None = None) -> Weights:
    """Read ``adaptive.weights``, or the built-in ones where it is None.

    Raises ``ConfigError`` if the file cannot be read or is not what is expected.
    """
    return built_in() if file is None else read_weights(Path(file).expanduser())


@cache
def built_in() -> Weights:
    """The weights that come with the package."""
    return read_weights(BUILT_IN)


def read_weights(path: Path) -> Weights:
    """Read a JSON file of ``{"bias": number, "weights": {reason: number}}``."""
    try:
        given = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _bad(
            path, f"cannot be read ({error.strerror}); name a file or leave it out"
        ) from None
    except UnicodeDecodeError:
        raise _bad(path, f"is not UTF-8 text; {AGAIN}") from None
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"is not valid JSON ({error}); {AGAIN}") from None
    if not isinstance(given, dict) or not isinstance(given.get("weights"), dict):
        raise _bad(path, f'is not of the form {{"bias": ..., "weights": {{...}}}}; {AGAIN}')
    weights = given["weights"]
    for name in weights:
        if name not in REASONS:
            close = get_close_matches(name, REASONS, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise _bad(path, f"weighs {name!r}, which is no reason{hint}; {AGAIN}")
    missing = [name for name in REASONS if name not in weights]
    if missing:
        raise _bad(path, f"lacks {', '.join(missing)}; {AGAIN}")
    numbers = {name: _number(path, name, weights[name]) for name in REASONS}
    return Weights(_number(path, "bias", given.get("bias")), numbers)


def _number(path: Path, name: str, value: Any) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or abs(value) > LARGEST:
        raise _bad(
            path, f"{name!r} is {value!r}, not a number from -{LARGEST:g} to {LARGEST:g}; {AGAIN}"
        )
    return float(value)


def _bad(path: Path, what: str) -> ConfigError:
    return ConfigError(f"adaptive.weights: {path} {what}.")
