"""LMGen and Mimi as streams in slots: what the batches of all of Kyutai's models do alike."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ..errors import EngineError, ModelTooBigError
from .checkpoint import Loaded
from .frames import Begin, Snapshot
from .state import put, take

_ONE_AT_A_TIME = threading.RLock()
"""moshi keeps whether it compiles and whether it is within a CUDA graph in globals of the process:
two models that step at the same moment would compile on a CPU, or fail on a GPU. They share the
device anyway."""


class Streams:
    """The streaming state of ``slots`` slots of one checkpoint. Lives on the model's thread."""

    def __init__(self, loaded: Loaded, slots: int, engine: str = "kyutai") -> None:
        self.loaded = loaded
        self.slots = slots
        self._engine = engine
        self.cuda = loaded.device.startswith("cuda")
        self.steps = [0] * slots
        """Steps that each slot has behind it; the batch counts them."""
        self.gen: Any = None
        """``moshi.models.LMGen`` while open."""

    def start(self, gen: Any) -> None:
        """Allocate the state of all slots; raises ModelTooBigError when they do not fit."""
        self.gen = gen
        with self.fitting():
            self.loaded.mimi.streaming_forever(self.slots)
            gen.streaming_forever(self.slots)

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Raise ModelTooBigError when the card's memory runs out in this block."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            free, _ = torch.cuda.mem_get_info()
            raise ModelTooBigError(
                self._engine,
                f"{self.slots} slots do not fit into the GPU's memory ({free / 1e9:.1f} GB of it "
                "are left now); open fewer, or free the card.",
                have=free,
            ) from error

    def stop(self) -> None:
        """Leave streaming, from whatever state a failure left it in."""
        for module in (self.gen, self.loaded.lm, self.loaded.mimi, self.loaded.lm.depformer):
            if module is not None:
                module._stop_streaming()
        self.gen = None

    def mask(self, slots: Iterable[int]) -> torch.Tensor:
        """``[slots]``, true for those given."""
        mask = torch.zeros(self.slots, dtype=torch.bool)
        mask[list(slots)] = True
        return mask.to(self.loaded.device)

    def begin(self, begins: Mapping[int, Begin]) -> None:
        """Let new occupants begin. This also unmasks their slots: set the masks afterwards.

        Raises EngineError for the state of another model, before anything is changed.
        """
        if not begins:
            return
        for begin in begins.values():
            if isinstance(begin, Snapshot) and begin.model != self.loaded.name:
                raise EngineError(
                    self._engine, f"a state of {begin.model!r} does not fit {self.loaded.name!r}."
                )
        new = self.mask(begins)
        self.loaded.mimi.reset_streaming(new)
        self.gen.reset_streaming(new)
        for slot, begin in begins.items():
            self.steps[slot] = 0
            if isinstance(begin, Snapshot):
                put(self.parts, slot, begin.tensors)
                self.steps[slot] = begin.steps

    def snapshot(self, slot: int) -> Snapshot:
        """Copy the state of ``slot``; it goes on unchanged."""
        with self.quietly():  # another model may be capturing a graph
            return Snapshot(take(self.parts, slot), self.loaded.name, self.steps[slot])

    @property
    def parts(self) -> dict[str, Any]:
        """The modules that hold the state."""
        # LMGen's own listing leaves its language model out
        return {"gen": self.gen, "lm": self.gen.lm_model, "mimi": self.loaded.mimi}

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """One model at a time, without gradients; on a CPU without torch.compile, which takes
        13 s to begin with."""
        from moshi.utils.compile import no_compile

        with _ONE_AT_A_TIME, torch.no_grad(), nullcontext() if self.cuda else no_compile():
            yield
