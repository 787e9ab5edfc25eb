"""Messages that no honest peer would send, thrown at every reader of messages.

``python -m coda_voice_plugin.testing.fuzz -n 1000000`` takes some minutes. It ends with an
error when a reader raises anything but its own refusal, takes too long, or keeps memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from .fuzz_targets import MOST_BYTES, Target, targets

MOST_S = 1.0
"""Seconds of computing that one message may take."""
MOST_GROWN = 32 * 2**20
"""Bytes that the process may grow by after its first messages."""
HANG_S = 60
"""After so long without an end the stacks are printed and the process ends."""
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 3.0, 2**31, 2**32, 2**63, 2**64, 10**40, 1e15, 1e300,
    float("nan"), float("inf"), "", " ", "\0", "\ud800", "\U0001f600", "a\n", "x" * 5_000, "opus",
    "null", "../up", [], [[]], {}, {"type": "hello"}, [None] * 40, [["a", 0, 1]], {"": {}},
]  # fmt: skip
_PIECES = [
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"\\u0000", b"0", b"-", b"1e999",
    b"NaN", b"null", b"true", b"\xff", b"\0", b"\xf0\x9f\x98\x80", b"\xe2\x80\xa8",
    b"\xdf", b"\xc1",
]  # fmt: skip


@dataclass(slots=True)
class Report:
    """What came of it."""

    messages: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    grown_bytes: int = 0
    """Memory of the process at the end, compared with that after a tenth of the messages."""
    by_target: Counter[str] = field(default_factory=Counter)


class BrokenReaderError(Exception):
    """A reader did what it must not; the message shows what it was given."""


def fuzz(count: int, seed: int = 0, aims: list[Target] | None = None) -> Report:
    """Throw ``count`` messages; the same ones for the same ``seed``.

    Raises BrokenReaderError.
    """
    chance = random.Random(seed)
    aims = targets() if aims is None else aims
    report = Report()
    shares = [target.share for target in aims]
    began, early = perf_counter(), resident_bytes()
    for number in range(count):
        if number == count // 10:
            early = resident_bytes()
        (target,) = chance.choices(aims, shares)
        message = mutated(chance.choice(target.seeds), chance)
        _throw(target, message, report)
    report.seconds = perf_counter() - began
    report.grown_bytes = resident_bytes() - early
    return report


def _throw(target: Target, message: str | bytes, report: Report) -> None:
    began = thread_time()
    try:
        target.read(message)
    except target.refusals as refusal:
        report.refused += 1
        if "\n" in str(refusal):
            raise BrokenReaderError(
                f"{target.name}: refused in several lines: {message[:400]!r}"
            ) from refusal
    except Exception as error:
        raise BrokenReaderError(
            f"{target.name}: {type(error).__name__} for {message[:400]!r}"
        ) from error
    took = thread_time() - began
    if took > MOST_S:
        raise BrokenReaderError(f"{target.name}: {took:.1f} s for {message[:400]!r}")
    report.messages += 1
    report.slowest_s = max(report.slowest_s, took)
    report.by_target[target.name] += 1


def mutated(message: str | bytes, chance: random.Random) -> str | bytes:
    """``message`` with something wrong, most often; of the same kind, rarely of the other."""
    changes: list[Callable[[Any, random.Random], Any]]
    if isinstance(message, str):
        changes = [_values, _values, _values, _text, _deep]
    else:
        changes = [_bytes, _bytes, _bytes, _noise]
    found: str | bytes = chance.choice(changes)(message, chance)
    if chance.random() < 0.02:
        found = found.encode("utf-8", "surrogatepass") if isinstance(found, str) else found
    return found[:MOST_BYTES]


def _values(message: str, chance: random.Random) -> str:
    """One to three values of a JSON message are others, missing, or more."""
    value = json.loads(message)
    for _ in range(chance.randint(1, 3)):
        _change(value, chance)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


def _change(value: Any, chance: random.Random) -> None:
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            break
        place = inner
    match chance.randrange(5):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[chance.choice(["extra", "", "type", "\u2028", "turn", "session"])] = _odd(chance)
        case 2 if isinstance(inner, str) and inner:
            at = chance.randrange(len(inner))
            place[key] = inner[:at] + chr(chance.randrange(0x11000)) + inner[at + 1 :]
        case 3 if isinstance(inner, int | float):
            place[key] = inner * chance.choice([-1, 0, 2, 1e9, 1.5, 10**30])
        case _:
            place[key] = _odd(chance)


def _odd(chance: random.Random) -> Any:
    return json.loads(json.dumps(chance.choice(ODD)))


def _text(message: str, chance: random.Random) -> str:
    """Cuts, repeats and changes in the letters of a message."""
    return _bytes(message.encode(), chance).decode("utf-8", "surrogateescape")


def _bytes(message: bytes, chance: random.Random) -> bytes:
    raw = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(raw) + 1)
        match chance.randrange(6):
            case 0:
                del raw[place : place + chance.randint(1, 8)]
            case 1:
                raw[place:place] = chance.choice(_PIECES)
            case 2 if place < len(raw):
                raw[place] ^= 1 << chance.randrange(8)
            case 3:
                raw[place : place + 1] = bytes([chance.randrange(256)])
            case 4:
                raw[place:place] = raw[place : place + 16] * chance.randint(1, 4)
            case _:
                del raw[place:]
    return bytes(raw)


def _noise(message: bytes, chance: random.Random) -> bytes:
    """What is left of a beginning, and noise behind it."""
    return message[: chance.randrange(12)] + chance.randbytes(chance.choice([0, 1, 7, 60, 2_000]))


def _deep(message: str, chance: random.Random) -> str:
    """Far too deep, far too long, or far too many digits."""
    size = chance.choice([10, 900, 1_100, 5_000, 100_000]) if chance.random() < 0.1 else 20
    name = chance.choice(["data", "words", "session", "turn", "type"])
    inside = chance.choice(["[" * size + "]" * size, '{"a":' * size + "1" + "}" * size, "9" * size])
    return message.rstrip("}") + f', "{name}": {inside}' + "}"


def resident_bytes() -> int:
    """Memory that this process holds now; 0 where the system does not tell (not Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("-n", type=int, default=1_000_000, help="how many messages")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same messages")
    choice = parser.parse_args()
    whole = Report()
    while whole.messages < choice.n:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        part = fuzz(min(20_000, choice.n - whole.messages), choice.seed + whole.messages)
        if not whole.messages:
            start = resident_bytes()
        whole.messages += part.messages
        whole.refused += part.refused
        whole.seconds += part.seconds
        whole.slowest_s = max(whole.slowest_s, part.slowest_s)
        whole.by_target += part.by_target
    faulthandler.cancel_dump_traceback_later()
    grown = resident_bytes() - start
    sys.stdout.write(
        f"{whole.messages} messages in {whole.seconds:.0f} s, {whole.refused} refused, the "
        f"slowest took {1000 * whole.slowest_s:.1f} ms, memory grew by {grown / 2**20:.1f} MB\n"
    )
    for name, count in whole.by_target.most_common():
        sys.stdout.write(f"  {count:8} {name}\n")
    return int(grown > MOST_GROWN)


if __name__ == "__main__":
    sys.exit(main())
