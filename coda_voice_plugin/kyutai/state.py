"""The state of one slot, taken out of a streaming model and put into another slot.

moshi keeps the state of a stream in tensors whose rows are the slots; this room knows which.
Everything is copied in place, so CUDA graphs that were captured over them stay valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SET_BY_EACH_STEP = {"exec_mask", "initial"}

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A tensor with one row for each slot, along ``dim``."""

    key: Key
    tensor: Any
    dim: int
    filled: Any = None
    """Rows of a ring cache count their filled columns here."""

    def row(self, slot: int) -> Any:
        return self.tensor.select(self.dim, slot)


def take(parts: dict[str, Any], slot: int) -> dict[Key, Any]:
    """Copy the state of ``slot``. ``parts`` are streaming modules by a name of the caller's."""
    found = {}
    for rows in _rows(parts):
        row = rows.row(slot)
        if rows.filled is not None:  # [2, heads, columns, width]: only what is filled
            row = row[:, :, : min(int(rows.filled[slot]), row.shape[2])]
        found[rows.key] = row.clone()
    return found


def put(parts: dict[str, Any], slot: int, tensors: dict[Key, Any]) -> None:
    """Give ``slot`` the state in ``tensors``; raises ValueError when they do not fit."""
    every = list(_rows(parts))
    if {rows.key for rows in every} != tensors.keys():
        raise ValueError("the state was taken from a model of another shape")
    for rows in every:
        kept, row = tensors[rows.key], rows.row(slot)
        if rows.filled is not None:
            if kept.shape[2] > row.shape[2]:
                raise ValueError("the state remembers more than this model does")
            row = row[:, :, : kept.shape[2]]
        row.copy_(kept)


def _rows(parts: dict[str, Any]) -> Iterator[_Rows]:
    for part, module in parts.items():
        for name, state in module.get_streaming_state().items():
            for field, value in vars(state).items():
                if field not in _SET_BY_EACH_STEP:
                    yield from _rows_of((part, name, field), value, state.batch_size)


def _rows_of(key: Key, value: Any, slots: int) -> Iterator[_Rows]:
    from moshi.modules.transformer import RingKVCache
    from torch import Tensor

    if isinstance(value, Tensor):
        if value.dim() and value.shape[0] == slots:
            yield _Rows(key, value, 0)
    elif isinstance(value, RingKVCache):
        yield _Rows((*key, "cache"), value.cache, 1, value.end_offset)
        yield _Rows((*key, "end"), value.end_offset, 0)
