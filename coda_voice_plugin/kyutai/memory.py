"""What Kyutai's models take of a GPU's memory, and how many calls fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ModelTooBigError
from .checkpoint import Loaded

GB = 1e9
FIXED = int(0.5 * GB)
"""CUDA graphs, the workspace of the libraries, and what a step computes with, whatever the
number of slots. Measured with the 7B model on an H100: 0.38 GB."""
SLOT = 8_000_000
"""The same for each slot; measured: 6 MB."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a checkpoint takes."""

    weights: int
    per_slot: int
    """State of one conversation: mostly what the language model remembers."""
    fixed: int = FIXED

    def total(self, slots: int) -> int:
        return self.weights + self.fixed + slots * self.per_slot

    def slots_in(self, room: int) -> int:
        """Conversations that fit into ``room`` bytes; 0 when not even the weights do."""
        return max(0, (room - self.weights - self.fixed) // self.per_slot)

    def arithmetic(self, slots: int) -> str:
        """The sum for people."""
        return (
            f"{self.weights / GB:.1f} GB of weights + {self.fixed / GB:.1f} GB to compute with + "
            f"{slots} x {self.per_slot / GB:.2f} GB for {slots} "
            f"call{'s' if slots > 1 else ''} = {self.total(slots) / GB:.1f} GB"
        )


def footprint(loaded: Loaded) -> Footprint:
    """Computed from the shapes of the loaded modules, so it holds for every checkpoint."""
    modules = (loaded.lm, loaded.mimi, loaded.oracle)
    weights = sum(_bytes(module) for module in modules if module is not None)
    remembered = sum(
        _kv_bytes(attention)
        for module in (loaded.lm.transformer, loaded.mimi)
        for attention in _attentions(module)
    )
    return Footprint(weights, remembered + SLOT)


def slots_that_fit(
    shape: Footprint, free: int, *, allowed: int | None, wanted: int | None, engine: str = "moshi"
) -> int:
    """How many slots to open.

    ``free`` bytes are left of the card beside the weights, which are loaded already;
    ``allowed`` limits weights and slots together. Raises ModelTooBigError when the
    ``wanted`` number, or a single one, does not fit.
    """
    room = free + shape.weights
    if allowed is not None:
        room = min(room, allowed)
    most = shape.slots_in(room)
    if most >= (wanted or 1):
        return wanted or most
    limit = "moshi.vram_allocation allows" if room == allowed else "the card has left"
    smaller = f"set moshi.slots to {most}, " if most else ""
    raise ModelTooBigError(
        engine,
        f"{shape.arithmetic(wanted or 1)}, and {limit} {room / GB:.1f} GB; {smaller}"
        "use moshi.optimization: int8 (half the weights) or a smaller moshi.context_s "
        "(less for each call).",
        need=shape.total(wanted or 1),
        have=room,
    )


def _bytes(module: Any) -> int:
    return sum(
        int(tensor.nbytes)
        for tensors in (module.parameters(), module.buffers())
        for tensor in tensors
    )


def _attentions(module: Any) -> Iterator[Any]:
    from moshi.modules.transformer import StreamingMultiheadAttention

    for each in module.modules():
        if isinstance(each, StreamingMultiheadAttention) and not each.cross_attention:
            yield each


def _kv_bytes(attention: Any) -> int:
    """Keys and values of a whole context, for one slot."""
    width = 2 * attention.embed_dim // attention.kv_repeat
    weight = attention.in_projs[0].weight
    item = (
        2 if not weight.dtype.is_floating_point else weight.element_size()
    )  # int8 computes in f16
    return int(width * attention.context * item)
