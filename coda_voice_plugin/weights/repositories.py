"""The repositories of the hub that this package knows: what each is, how large, whose, licence.

Other repositories work too; what is written here is for people to choose by. Licences are
those of the model cards and of the publishers' READMEs. Sizes are what is fetched; None
where the publisher does not say, and the hub is asked when it comes to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["dialogue", "recogniser", "voice"]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub."""

    name: str
    kind: Kind
    about: str
    size: int | None
    """Bytes that are fetched, about."""
    licence: str
    languages: tuple[str, ...]
    number_format: str
    """As Moshi's loaders take the weights: bf16, int8; "-" where it has no meaning."""
    publisher: str = "Kyutai"
    gated: bool = False
    """Its licence must be accepted on the hub by each user."""
    extras: tuple[str, ...] = ()
    """Files that the loaders do not ask for and the model needs."""
    single_files: bool = False
    """A collection: files are fetched one by one, never all of them."""
    licences: tuple[tuple[str, str], ...] = ()
    """Where they differ: (folder, licence of the files in it)."""

    def licence_of(self, file: str) -> str:
        """Licence of one file."""
        return next(
            (licence for folder, licence in self.licences if file.startswith(f"{folder}/")),
            self.licence,
        )


_CC_BY = "CC-BY-4.0"
_BF16_7B = 15_770_000_000
_INT8_7B = 8_400_000_000

_ALL = (
    Repository(
        "kyutai/moshika-pytorch-bf16", "dialogue", "Moshi, a woman's voice",
        _BF16_7B, _CC_BY, ("en",), "bf16",
    ),
    Repository(
        "kyutai/moshiko-pytorch-bf16", "dialogue", "Moshi, a man's voice",
        _BF16_7B, _CC_BY, ("en",), "bf16",
    ),
    Repository(
        "kyutai/moshika-pytorch-q8", "dialogue", "Moshi, a woman's voice (experimental)",
        _INT8_7B, _CC_BY, ("en",), "int8",
    ),
    Repository(
        "kyutai/moshiko-pytorch-q8", "dialogue", "Moshi, a man's voice (experimental)",
        _INT8_7B, _CC_BY, ("en",), "int8",
    ),
    Repository(
        "nvidia/personaplex-7b-v1", "dialogue", "PersonaPlex: Moshi with a given role and voice",
        17_130_000_000, "NVIDIA Open Model License", ("en",), "bf16",
        publisher="NVIDIA", gated=True, extras=("voices.tgz",),
    ),
    Repository(
        "kyutai/stt-1b-en_fr", "recogniser", "writes 0.5 s behind the sound, hears ends of turns",
        2_370_000_000, _CC_BY, ("en", "fr"), "bf16",
    ),
    Repository(
        "kyutai/stt-2.6b-en", "recogniser", "writes 2.5 s behind the sound",
        None, _CC_BY, ("en",), "bf16",
    ),
    Repository(
        "kyutai/tts-1.6b-en_fr", "voice", "speaks with the voices of kyutai/tts-voices",
        None, _CC_BY, ("en", "fr"), "bf16",
    ),
    Repository(
        "kyutai/tts-0.75b-en-public", "voice", "trained on public recordings only",
        None, _CC_BY, ("en",), "bf16",
    ),
    Repository(
        "kyutai/tts-voices", "voice", "voices to speak with, one file each",
        None, "by folder", ("en", "fr"), "-", single_files=True,
        licences=(
            ("voice-donations", "CC0"),
            ("voice-zero", "CC0"),
            ("vctk", _CC_BY),
            ("cml-tts", _CC_BY),
            ("alba-mackenna", _CC_BY),
            ("expresso", "CC-BY-NC-4.0"),
            ("ears", "CC-BY-NC-4.0"),
        ),
    ),
)  # fmt: skip

REPOSITORIES: Mapping[str, Repository] = MappingProxyType({each.name: each for each in _ALL})
"""Every known repository by name."""
