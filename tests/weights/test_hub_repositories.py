"""Repositories of the hub: what is fetched of them, and that what is here is what was promised."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import LARGE, TOKEN, HubServer

from coda_voice_plugin.config import ModelsSettings
from coda_voice_plugin.errors import WeightsError
from coda_voice_plugin.weights import cache_dir, checkpoint, fetch, find, held, manifest, verified
from coda_voice_plugin.weights import disk as disk_room

MODEL, CODEC = os.urandom(200_000), os.urandom(50_000)
WORDS = b"small " * 10
VOICE = "vctk/p225_023.wav.1e68beda@240.safetensors"
CONFIG = {
    "dim": 64,
    "moshi_name": "weights@240.safetensors",
    "mimi_name": "mimi.safetensors",
    "tokenizer_name": "words.model",
}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "weights@240.safetensors": MODEL,
    "mimi.safetensors": CODEC,
    "words.model": WORDS,
    "README.md": b"not needed",
    "other.safetensors": os.urandom(1000),
}
OLD = {
    "model.safetensors": MODEL,
    "tokenizer-e351c8d8-checkpoint125.safetensors": CODEC,
    "tokenizer_spm_32k_3.model": WORDS,
}
NAME = "lab/model"
TOTAL = len(MODEL) + len(CODEC) + len(WORDS) + len(FILES["config.json"])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    hub = HubServer({NAME: dict(FILES)})
    with hub.open():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        yield hub


@pytest.fixture
def settings(tmp_path: Path) -> ModelsSettings:
    return ModelsSettings(cache_dir=str(tmp_path / "models"))


def test_what_the_loaders_read_is_fetched_and_nothing_else(
    hub: HubServer, settings: ModelsSettings
) -> None:
    folder = fetch(NAME, settings)
    assert folder == cache_dir(settings) / "lab" / "model"
    here = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert here == {"config.json", *(str(CONFIG[key]) for key in CONFIG if key != "dim")} | {
        "coda-voice.json"
    }
    assert (folder / "weights@240.safetensors").read_bytes() == MODEL
    assert find(NAME, settings) == folder
    assert verified(NAME, settings)


def test_progress_counts_the_whole_repository(hub: HubServer, settings: ModelsSettings) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch(NAME, settings, lambda *step: seen.append(step))
    assert {(name, total) for name, _, total in seen} == {(NAME, TOTAL)}
    done = [done for _, done, _ in seen]
    assert done == sorted(done)
    assert done[-1] == TOTAL


def test_what_is_here_is_found_without_the_hub(hub: HubServer, settings: ModelsSettings) -> None:
    fetch(NAME, settings)
    hub.asked.clear()
    offline = settings.model_copy(update={"offline": True})
    assert fetch(NAME, offline) == find(NAME, offline)
    assert hub.asked == []


def test_a_repository_of_2024_has_no_configuration(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.repositories[NAME] = dict(OLD)
    fetch(NAME, settings)
    files = checkpoint(NAME, settings)
    assert files.config is None
    assert files.moshi.read_bytes() == MODEL
    assert files.tokenizer.name == "tokenizer_spm_32k_3.model"
    assert (files.mimi_config, files.lora, files.voices) == (None, None, None)


def test_a_file_of_a_second_repository_goes_to_that_repository(
    hub: HubServer, settings: ModelsSettings
) -> None:
    config = CONFIG | {"mimi_name": "hf://other/codec/deep/mimi@125.safetensors"}
    hub.repositories[NAME]["config.json"] = json.dumps(config).encode()
    hub.repositories["other/codec"] = {"deep/mimi@125.safetensors": CODEC}
    seen: list[int] = []
    fetch(NAME, settings, lambda name, done, total: seen.append(total))
    files = checkpoint(NAME, settings)
    assert files.mimi == cache_dir(settings) / "other" / "codec" / "deep" / "mimi@125.safetensors"
    assert files.mimi.read_bytes() == CODEC
    assert set(seen) == {len(MODEL) + len(CODEC) + len(WORDS) + len(json.dumps(config))}
    files.mimi.unlink()
    with pytest.raises(WeightsError, match="other/codec/deep"):
        find(NAME, settings)
    fetch(NAME, settings)
    assert files.mimi.read_bytes() == CODEC


def test_files_of_one_name_in_two_repositories_are_two_files(
    hub: HubServer, settings: ModelsSettings
) -> None:
    config = CONFIG | {"mimi_config_name": "hf://other/codec/config.json"}
    hub.repositories[NAME]["config.json"] = json.dumps(config).encode()
    hub.repositories["other/codec"] = {"config.json": b'{"sample_rate": 24000}'}
    fetch(NAME, settings)
    found = checkpoint(NAME, settings).mimi_config
    assert found is not None
    assert found.read_bytes() == b'{"sample_rate": 24000}'


def test_a_single_file_is_fetched_by_its_path(hub: HubServer, settings: ModelsSettings) -> None:
    hub.repositories["kyutai/tts-voices"] = {VOICE: MODEL, "vctk/p226.wav": CODEC}
    path = fetch(f"kyutai/tts-voices/{VOICE}", settings)
    assert path == cache_dir(settings) / "kyutai" / "tts-voices" / VOICE
    assert path.read_bytes() == MODEL
    fetch("kyutai/tts-voices/vctk/p226.wav", settings)
    assert find(f"kyutai/tts-voices/{VOICE}", settings) == path
    both = held("kyutai/tts-voices", settings)
    assert both is not None
    assert both.size == len(MODEL) + len(CODEC)
    one = held(f"kyutai/tts-voices/{VOICE}", settings)
    assert one is not None
    assert one.licence == "CC-BY-4.0"


def test_a_collection_is_not_fetched_whole(hub: HubServer, settings: ModelsSettings) -> None:
    with pytest.raises(WeightsError, match="name one file"):
        fetch("kyutai/tts-voices", settings)
    assert hub.asked == []


def test_a_file_and_its_model_share_a_folder_and_a_commit(
    hub: HubServer, settings: ModelsSettings
) -> None:
    fetch(f"{NAME}/README.md", settings)
    with pytest.raises(WeightsError, match="not on this machine"):
        find(NAME, settings)
    assert fetch(NAME, settings) == find(f"{NAME}/README.md", settings).parent
    first = held(NAME, settings)
    assert first is not None
    assert first.revision == hub.commit(NAME)


def test_a_revision_has_a_folder_of_its_own(hub: HubServer, settings: ModelsSettings) -> None:
    folder = fetch(f"{NAME}@v1", settings)
    assert folder.name == "model@v1"
    assert not verified(NAME, settings)
    with pytest.raises(WeightsError, match="no revision 'v9'"):
        fetch(f"{NAME}@v9", settings)


def test_a_broken_download_goes_on_where_it_stopped(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.faults = ["die", "stop", "stop"]
    with pytest.raises(WeightsError, match="goes on where it stopped"):
        fetch(NAME, settings)
    hub.asked.clear()
    assert fetch(NAME, settings)
    assert hub.stored[0] == f"bytes={len(MODEL) // 2}-"
    assert not list(cache_dir(settings).rglob("*.part"))


def test_a_store_that_dies_is_asked_for_the_rest(hub: HubServer, settings: ModelsSettings) -> None:
    hub.faults = ["die", "die"]
    assert (fetch(NAME, settings) / "weights@240.safetensors").read_bytes() == MODEL


def test_a_store_that_refuses_is_named(hub: HubServer, settings: ModelsSettings) -> None:
    hub.faults = ["fail"]
    with pytest.raises(WeightsError, match="answered 503"):
        fetch(NAME, settings)


def test_a_wrong_hash_is_refused_and_the_file_removed(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.faults = ["spoil"]
    with pytest.raises(WeightsError, match=r"weights@240\.safetensors with the wrong hash"):
        fetch(NAME, settings)
    assert not list(cache_dir(settings).rglob("weights*"))
    assert not verified(NAME, settings)


def test_progress_can_stop_a_fetch_and_nothing_is_lost(
    hub: HubServer, settings: ModelsSettings
) -> None:
    class Enough(Exception):
        pass

    def stop(name: str, done: int, total: int) -> None:
        if done > 1000:
            raise Enough

    with pytest.raises(Enough):
        fetch(NAME, settings, stop)
    assert list(cache_dir(settings).rglob("weights*.part"))
    assert fetch(NAME, settings)


def test_a_damaged_file_is_noticed_and_only_it_is_fetched_again(
    hub: HubServer, settings: ModelsSettings
) -> None:
    folder = fetch(NAME, settings)
    (folder / "mimi.safetensors").write_bytes(bytes(len(CODEC)))
    os.utime(folder / "mimi.safetensors", ns=(1, 1))
    with pytest.raises(WeightsError, match=r"mimi\.safetensors is damaged.*fetch lab/model"):
        find(NAME, settings)
    hub.asked.clear()
    fetch(NAME, settings)
    assert (folder / "mimi.safetensors").read_bytes() == CODEC
    assert len(hub.stored) == 1


def test_a_repair_asks_for_the_commit_that_the_rest_came_from(
    hub: HubServer, settings: ModelsSettings
) -> None:
    folder = fetch(NAME, settings)
    (folder / "words.model").unlink()
    before = hub.commit(NAME)
    hub.asked.clear()
    fetch(NAME, settings)
    assert all(before in path for method, path, *_ in hub.asked if method == "HEAD")


def test_a_verified_repository_is_not_hashed_again(
    hub: HubServer, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(NAME, settings)
    hashed: list[str] = []
    real = manifest.digest_of

    def count(path: Path, kind: str, tick: object = None) -> str:
        hashed.append(path.name)
        return real(path, kind)

    monkeypatch.setattr(manifest, "digest_of", count)
    find(NAME, settings)
    assert hashed == []
    os.utime(folder / "mimi.safetensors", ns=(2, 2))
    find(NAME, settings)
    find(NAME, settings)
    assert hashed == ["mimi.safetensors"]


def test_what_is_here_is_told_without_hashing(
    hub: HubServer, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held(NAME, settings) is None
    fetch(NAME, settings)
    for path in cache_dir(settings).rglob(".verified.json"):
        path.unlink()
    monkeypatch.setattr(manifest, "digest_of", None)
    here = held(NAME, settings)
    assert here is not None
    assert (here.size, here.licence) == (TOTAL, "unknown")


def test_a_copied_folder_is_a_model_and_is_verified(
    hub: HubServer, settings: ModelsSettings, tmp_path: Path
) -> None:
    copied = tmp_path / "stick" / "model"
    shutil.copytree(fetch(NAME, settings), copied)
    hub.asked.clear()
    assert fetch(str(copied), settings) == copied
    assert checkpoint(str(copied), settings).moshi == copied / "weights@240.safetensors"
    here = held(str(copied), settings)
    assert here is not None
    assert here.revision == hub.commit(NAME)
    (copied / "mimi.safetensors").write_bytes(bytes(len(CODEC)))
    with pytest.raises(WeightsError, match="damaged"):
        find(str(copied), settings)
    assert hub.asked == []


def test_a_folder_put_together_by_hand_is_looked_through(
    settings: ModelsSettings, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="there is no folder"):
        find(str(tmp_path / "none"), settings)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert find(str(tmp_path), settings) == tmp_path
    config = CONFIG | {"mimi_name": "hf://other/codec/mimi.safetensors"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert checkpoint(str(tmp_path), settings).mimi == tmp_path / "mimi.safetensors"
    config["moshi_name"] = "file:///somewhere/else/weights@240.safetensors"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert checkpoint(str(tmp_path), settings).moshi.read_bytes() == MODEL
    (tmp_path / "words.model").unlink()
    with pytest.raises(WeightsError, match=r"lacks words\.model"):
        find(str(tmp_path), settings)


def test_two_processes_fetch_once(hub: HubServer, settings: ModelsSettings) -> None:
    code = (
        "from coda_voice_plugin.config import ModelsSettings\n"
        "from coda_voice_plugin.weights import fetch\n"
        f"print(fetch({NAME!r}, ModelsSettings(cache_dir={settings.cache_dir!r})))\n"
    )
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second,
    ):
        told = [process.communicate(timeout=60)[0].strip() for process in (first, second)]
    assert told == [str(cache_dir(settings) / "lab" / "model")] * 2
    assert len(hub.stored) == 2


def test_a_full_disk_is_told_before_anything_is_fetched(
    hub: HubServer, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(WeightsError, match="disk is full"):
        fetch(NAME, settings)
    assert hub.stored == []


def test_a_cache_that_cannot_be_made_is_told(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot keep the weights"):
        fetch(NAME, ModelsSettings(cache_dir=str(tmp_path / "file" / "models")))


def test_a_manifest_that_cannot_be_read_is_told_and_written_anew(
    hub: HubServer, settings: ModelsSettings
) -> None:
    folder = fetch(NAME, settings)
    (folder / "coda-voice.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        find(NAME, settings)
    hub.asked.clear()
    assert fetch(NAME, settings) == folder
    assert hub.stored == []


# refusals


def test_offline_never_asks_anybody(hub: HubServer, settings: ModelsSettings) -> None:
    with pytest.raises(WeightsError, match=r"lab/model.*offline is set"):
        fetch(NAME, settings.model_copy(update={"offline": True}))
    with pytest.raises(WeightsError, match=r"models\.sources"):
        fetch(NAME, settings.model_copy(update={"sources": ("index",)}))
    assert hub.asked == []


def test_missing_weights_name_the_command_and_the_size(
    hub: HubServer, settings: ModelsSettings
) -> None:
    command = r"run `coda-voice fetch kyutai/moshika-pytorch-bf16` \(15\.8 GB\)"
    with pytest.raises(WeightsError, match=command):
        find("kyutai/moshika-pytorch-bf16", settings)


def test_a_repository_that_is_not_there_names_the_nearest(
    hub: HubServer, settings: ModelsSettings
) -> None:
    with pytest.raises(WeightsError, match="did you mean kyutai/moshika-pytorch-bf16"):
        fetch("kyutai/moshika-pytorch-bf61", settings)
    with pytest.raises(WeightsError, match="if it is private, set HF_TOKEN"):
        fetch("nobody/nothing", settings)


def test_a_file_that_is_not_there_names_the_nearest(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.repositories["kyutai/tts-voices"] = {VOICE: MODEL}
    wrong = "kyutai/tts-voices/vctk/p255_023.wav.1e68beda@240.safetensors"
    with pytest.raises(WeightsError, match=f"did you mean kyutai/tts-voices/{VOICE}"):
        fetch(wrong, settings)
    with pytest.raises(WeightsError, match=r"no file 'vctk/zzz'"):
        fetch("kyutai/tts-voices/vctk/zzz", settings)


def test_a_repository_without_a_model_says_what_it_lacks(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.repositories[NAME] = {"README.md": b"nothing"}
    with pytest.raises(WeightsError, match=r"lab/model has no file 'model\.safetensors'"):
        fetch(NAME, settings)


def test_a_licence_that_was_not_accepted_is_a_sentence(
    hub: HubServer, settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated.add(NAME)
    with pytest.raises(WeightsError, match=f"accept the licence .* {hub.url}/{NAME} and set HF_T"):
        fetch(NAME, settings)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(WeightsError, match="with the account of your HF_TOKEN"):
        fetch(NAME, settings)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(WeightsError, match="does not accept your HF_TOKEN"):
        fetch(NAME, settings)


@pytest.mark.parametrize("where", ["environment", "login"])
def test_a_token_opens_a_gated_repository_and_is_shown_to_the_hub_only(
    where: str,
    hub: HubServer,
    settings: ModelsSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    hub.gated.add(NAME)
    if where == "environment":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        (tmp_path / "hf").mkdir()
        (tmp_path / "hf" / "token").write_text(f"{TOKEN}\n")
    fetch(NAME, settings)
    for _, path, _, authorisation in hub.asked:
        assert authorisation == (None if path.startswith("/store/") else f"Bearer {TOKEN}")


def test_a_hub_that_is_down_is_told(
    settings: ModelsSettings, monkeypatch: pytest.MonkeyPatch, hub: HubServer
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="cannot be reached"):
        fetch(NAME, settings)


def test_other_peoples_names_stay_inside_their_folder(
    hub: HubServer, settings: ModelsSettings
) -> None:
    for name in ("../../up", "/etc/passwd", "a/../../b", "hf://a/b/../c", "hf://a/b", 7):
        config = json.dumps(CONFIG | {"mimi_name": name}).encode()
        hub.repositories[NAME]["config.json"] = config
        with pytest.raises(WeightsError, match=r"mimi_name|not the name"):
            fetch(NAME, settings)
    hub.repositories[NAME]["config.json"] = json.dumps(
        CONFIG | {"mimi_name": "file:///etc/passwd"}
    ).encode()
    with pytest.raises(WeightsError, match="a file of its author"):
        fetch(NAME, settings)
    assert not hub.stored


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_a_configuration_that_is_none_is_told(
    content: bytes, hub: HubServer, settings: ModelsSettings
) -> None:
    hub.repositories[NAME]["config.json"] = content
    with pytest.raises(WeightsError, match=r"the config\.json of lab/model"):
        fetch(NAME, settings)


def test_the_licence_of_an_unknown_repository_is_that_of_its_card(
    hub: HubServer, settings: ModelsSettings
) -> None:
    hub.cards[NAME] = {"license": "other", "license_name": "house-rules"}
    fetch(NAME, settings)
    here = held(NAME, settings)
    assert here is not None
    assert here.licence == "house-rules"


def test_the_extras_of_a_known_repository_come_too(
    hub: HubServer, settings: ModelsSettings
) -> None:
    name = "nvidia/personaplex-7b-v1"
    hub.repositories[name] = {**OLD, "config.json": b"{}", "voices.tgz": CODEC}
    fetch(name, settings)
    voices = checkpoint(name, settings).voices
    assert voices is not None
    assert voices.read_bytes() == CODEC
    here = held(name, settings)
    assert here is not None
    assert here.licence == "NVIDIA Open Model License"


# the hub's own client


@pytest.fixture
def official(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache of the hub's own client, which has fetched what the loaders read."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    cache = tmp_path / "hf" / "hub"
    for name in ("config.json", *(str(CONFIG[key]) for key in CONFIG if key != "dim")):
        path = huggingface_hub.hf_hub_download(
            NAME, name, endpoint=hub.url, cache_dir=cache, token=False
        )
        assert Path(path).read_bytes() == FILES[name]
    return cache


def test_what_the_hubs_own_client_fetched_is_used(
    official: Path, hub: HubServer, settings: ModelsSettings
) -> None:
    hub.asked.clear()
    folder = fetch(NAME, settings)
    assert folder.is_relative_to(official)
    assert checkpoint(NAME, settings).moshi.read_bytes() == MODEL
    assert find(f"{NAME}/words.model", settings).read_bytes() == WORDS
    assert held(NAME, settings) is not None
    assert hub.asked == []


def test_a_damaged_cache_of_the_hubs_own_client_is_not_used(
    official: Path, hub: HubServer, settings: ModelsSettings
) -> None:
    blob = official / "models--lab--model" / "blobs" / hashlib.sha256(MODEL).hexdigest()
    blob.write_bytes(bytes(len(MODEL)))
    with pytest.raises(WeightsError, match="not on this machine"):
        find(NAME, settings)
    assert fetch(NAME, settings) == cache_dir(settings) / "lab" / "model"


def test_an_incomplete_cache_of_the_hubs_own_client_is_not_used(
    official: Path, hub: HubServer, settings: ModelsSettings
) -> None:
    for path in official.rglob("words.model"):
        path.unlink()
    assert fetch(NAME, settings) == cache_dir(settings) / "lab" / "model"


# the loaders


def test_a_fetched_repository_is_loaded_by_the_official_loaders(
    hub: HubServer, settings: ModelsSettings, tmp_path: Path
) -> None:
    loaders = pytest.importorskip("moshi.models.loaders")
    from coda_voice_plugin.testing.checkpoints import tiny_moshi

    made = tiny_moshi(tmp_path / "tiny")
    config = json.loads((made / "config.json").read_text())
    named = {key: Path(value).name for key, value in config.items() if key.endswith("_name")}
    (made / "config.json").write_text(json.dumps(config | named))
    hub.repositories[NAME] = {path.name: path.read_bytes() for path in made.iterdir()}
    assert len(hub.repositories[NAME]["model.safetensors"]) > LARGE
    fetch(NAME, settings)
    files = checkpoint(NAME, settings)
    info = loaders.CheckpointInfo.from_hf_repo(
        "nobody/asks", files.moshi, files.mimi, files.tokenizer, files.config, files.mimi_config
    )
    assert info.get_text_tokenizer().get_piece_size() == 256
    assert info.get_mimi("cpu").sample_rate == 24_000
    assert info.get_moshi("cpu").dim == 64
