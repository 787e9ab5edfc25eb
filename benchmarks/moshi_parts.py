"""Where a tick of Moshi goes on a GPU: upstream's own loop, its three parts timed apart.

    python benchmarks/moshi_parts.py 1,32

The real 7B configuration with random bf16 weights. Each part is waited for, so the sum is
a little more than a loop that does not stop between them. Prints a line for each number
of slots: median milliseconds to encode, think and decode, and what is left of the card.
"""

from __future__ import annotations

import sys
import time

# the folder holds a moshi.py: it is looked into last
sys.path.append(sys.path.pop(0))

import numpy as np
import torch
from moshi.models.lm import LMGen
from moshi_model import full
from moshi_scenes import NOISE

from coda_voice_plugin.kyutai.checkpoint import Loaded

WARM_UP, TICKS = 6, 40


def parts(loaded: Loaded, slots: int) -> dict[str, list[float]]:
    """Time so many ticks; seconds by part."""
    took: dict[str, list[float]] = {"enc": [], "lm": [], "dec": [], "all": []}
    gen = LMGen(loaded.lm, support_out_of_sync=True)
    sound = np.stack([NOISE[slot % len(NOISE)] for slot in range(slots)])
    with torch.no_grad(), loaded.mimi.streaming(slots), gen.streaming(slots):
        for tick in range(WARM_UP + TICKS):
            given = torch.from_numpy(sound)[:, None].cuda()
            at = [now()]
            codes = loaded.mimi.encode(given)
            at.append(now())
            tokens = gen.step(codes)
            at.append(now())
            loaded.mimi.decode(tokens[:, 1:].clamp(min=0)).cpu()
            at.append(now())
            if tick >= WARM_UP:
                for name, begin, end in zip(took, at, at[1:], strict=False):
                    took[name].append(end - begin)
                took["all"].append(at[-1] - at[0])
    return took


def now() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Print what each number of slots takes."""
    loaded = full("cuda", "bf16")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    print(f"weights {torch.cuda.memory_allocated() / 1e9:.2f} GB, free, of {card()}")
    for slots in map(int, sys.argv[1].split(",")):
        took = parts(loaded, slots)
        medians = {name: round(1e3 * float(np.median(each)), 2) for name, each in took.items()}
        p99 = 1e3 * float(np.percentile(took["all"], 99))
        print(f"{slots} slots: {medians} p99 {p99:.2f}; free, of {card()}", flush=True)
        for module in (loaded.lm, loaded.mimi):
            module._stop_streaming()
        torch.cuda.empty_cache()


def card() -> str:
    free, whole = torch.cuda.mem_get_info()
    return f"{whole / 1e9:.2f} GB: {free / 1e9:.2f} GB"


if __name__ == "__main__":
    main()
