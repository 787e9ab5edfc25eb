"""Repositories of speech models, as ``fetch --list`` and ``models`` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..config import VoiceConfig

_TITLES = {
    "dialogue": "Speech to speech (moshi)",
    "recogniser": "Recognisers (kyutai)",
    "voice": "Voices (kyutai)",
}
_COLLECTION = "kyutai/tts-voices"


def known_repositories(config: VoiceConfig) -> list[dict[str, Any]]:
    """What is known of each repository, and of what the settings name besides.

    Nothing is hashed: a model counts as here when its files have the promised sizes.
    """
    from ..weights import REPOSITORIES, is_folder

    chosen = {
        "dialogue": config.moshi.model_path,
        "recogniser": config.kyutai.stt_model,
        "voice": config.kyutai.tts_model,
    }
    rows = []
    for kind, wanted in chosen.items():
        of_kind = [known for known in REPOSITORIES.values() if known.kind == kind]
        for known in of_kind:
            row = _row(known.name, kind, config, chosen=known.name == wanted)
            voice = config.kyutai.tts_voice
            if known.name == _COLLECTION and not is_folder(voice):
                row["chosen"] = True
                row["licence"] = f"{known.licence_of(voice)} ({voice.partition('/')[0]})"
            rows.append(row)
        if wanted not in REPOSITORIES:
            rows.append(_row(wanted, kind, config, chosen=True))
    return rows


def _row(name: str, kind: str, config: VoiceConfig, *, chosen: bool) -> dict[str, Any]:
    from ..weights import REPOSITORIES, held

    known = REPOSITORIES.get(name)
    here = held(name, config.models)
    return {
        "name": name,
        "kind": kind,
        "about": known.about if known else "",
        "size": here.size if here else known.size if known else None,
        "licence": (known.licence if known else here.licence if here else None) or "unknown",
        "languages": list(known.languages) if known else [],
        "format": known.number_format if known else "",
        "source": known.publisher if known else "",
        "gated": known is not None and known.gated,
        "here": here is not None,
        "path": str(here.path) if here else None,
        "chosen": chosen,
    }


def show_repositories(rows: list[dict[str, Any]]) -> None:
    """A line for each repository, by what it is for."""
    for kind, title in _TITLES.items():
        click.echo(title)
        for each in rows:
            if each["kind"] == kind:
                click.echo(_line(each))
    if any(each["gated"] and not each["here"] for each in rows):
        click.echo("  (licence to be accepted on huggingface.co, with HF_TOKEN set)")


def _line(each: dict[str, Any]) -> str:
    star = "*" if each["chosen"] else " "
    about = "" if each["here"] else "~"
    size = f"{about}{each['size'] / 1e9:.1f} GB" if each["size"] else "?"
    here = "here" if each["here"] else "-"
    languages = " ".join(each["languages"])
    mark = " (gated)" if each["gated"] else ""
    return (
        f"{star} {each['name']:<28} {size:>9}  {here:<5} {each['format']:<5} {languages:<6}"
        f"{each['licence']}{mark}  {each['about']}"
    ).rstrip()
