"""How repositories and files in them are written."""

from __future__ import annotations

import pytest

from coda_voice_plugin.errors import WeightsError
from coda_voice_plugin.weights import REPOSITORIES, Repository, is_folder, is_name, is_repository
from coda_voice_plugin.weights.reference import Reference


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("kyutai/moshika-pytorch-bf16", ("kyutai", "moshika-pytorch-bf16", None, None)),
        ("a/b@v1.0", ("a", "b", "v1.0", None)),
        ("a/b@refs%2Fpr%2F1", ("a", "b", "refs/pr/1", None)),
        ("a/b/c/d@240.safetensors", ("a", "b", None, "c/d@240.safetensors")),
        ("a/b@main/c d.wav", ("a", "b", "main", "c d.wav")),
        ("hf://a/b/c", ("a", "b", None, "c")),
    ],
)
def test_a_name_is_read(text: str, parts: tuple[str | None, ...]) -> None:
    found = Reference.parse(text)
    assert (found.owner, found.name, found.revision, found.file) == parts
    assert str(found) == text.removeprefix("hf://")


@pytest.mark.parametrize(
    "text",
    ["a", "a/", "/b", "../b", "a/..", "a/b@", "a/b@..", "a/b/", "a/b/../c", "a/b//c", "a b/c",
     "a/b/c\\d", "a/b@x y", "a/b/./c", ".a/b", "a/.b"],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="not the name of a repository"):
        Reference.parse(text)


def test_a_folder_is_written_as_one() -> None:
    assert all(map(is_folder, ["/a/b", "./a/b", "../a", "~/a/b", "."]))
    assert not any(map(is_repository, ["/a/b", "./a/b", "../a", "~/a/b", "moshika"]))
    assert is_repository("models/moshika")
    assert all(map(is_name, ["silero-vad", "kyutai/moshika-pytorch-bf16", "./here"]))
    assert not is_name("moshika")


@pytest.mark.parametrize("known", REPOSITORIES.values(), ids=REPOSITORIES)
def test_every_known_repository_says_what_people_choose_by(known: Repository) -> None:
    assert str(Reference.parse(known.name)) == known.name
    assert known.licence
    assert known.languages
    assert known.about
    assert known.size is None or known.size > 10**9


def test_licences_of_a_collection_differ_by_folder() -> None:
    voices = REPOSITORIES["kyutai/tts-voices"]
    assert voices.licence_of("vctk/p225.wav") == "CC-BY-4.0"
    assert voices.licence_of("expresso/ex03.wav") == "CC-BY-NC-4.0"
    assert voices.licence_of("elsewhere/x.wav") == "by folder"
