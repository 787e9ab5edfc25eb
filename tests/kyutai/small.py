"""A checkpoint that steps twice as fast as the tiny one, and real models run in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coda_voice_plugin import ModelThread
from coda_voice_plugin.kyutai.batch import MoshiBatch
from coda_voice_plugin.kyutai.checkpoint import load_folder
from coda_voice_plugin.kyutai.frames import Sampling
from coda_voice_plugin.testing.checkpoints import tiny_moshi

GREEDY = Sampling(temperature=0.0, text_temperature=0.0)


def small_moshi(folder: Path, context: int = 16) -> Path:
    """Two codebooks of its own and two of the user's; it remembers ``context`` steps."""
    delays = [0, 0, 1, 0, 1]
    return tiny_moshi(
        folder, n_q=4, dep_q=2, delays=delays, depformer_num_layers=1, context=context
    )


@contextmanager
def opened(folder: Path, slots: int, sampling: Sampling = GREEDY) -> Iterator[MoshiBatch]:
    batch = MoshiBatch(load_folder(folder), slots, sampling)
    batch.open()
    yield batch
    batch.close()


class InPlace(ModelThread):
    """Runs the model where it is: a virtual clock knows no threads."""

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)
