"""Layers, origins and errors of the settings."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin import ConfigError, VoiceConfig
from coda_voice_plugin.config import load_config, render


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "voice.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None = None, **layers: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, **{"environ": {}, **layers})
    return str(caught.value).splitlines()


def problem(text: str, tmp_path: Path) -> str:
    path = write(tmp_path, text)
    (only,) = problems(path)
    return only.replace(str(path), "FILE")


def test_nothing_given_is_the_default() -> None:
    loaded = load_config(environ={})
    assert loaded.config == VoiceConfig()
    assert set(loaded.origins.values()) == {"default"}
    assert (loaded.path, loaded.preset, loaded.notes) == (None, None, ())


def test_a_later_layer_wins_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "memory: {}\nvoice:\n  llm: ollama\n  turn:\n    confirm_ms: 450\n    unsure_ms: 800\n"
        "    partial_ms: 600\n",
    )
    loaded = load_config(
        path,
        preset="cpu",
        environ={"CODA_VOICE__TURN__UNSURE_MS": "900", "CODA_VOICE__TURN__PARTIAL_MS": "700"},
        overrides=["turn.partial_ms=750", "voice.stt=mine", "plugins.disabled=[a, b]"],
    )
    config, origins = loaded.config, loaded.origins
    assert (config.embedded_llm.model, origins["embedded_llm.model"]) == (
        "qwen2.5-coder-0.5b",
        "preset cpu",
    )
    assert (config.llm, origins["llm"]) == ("ollama", f"{path}:3")
    assert (config.turn.confirm_ms, origins["turn.confirm_ms"]) == (450, f"{path}:5")
    assert config.turn.unsure_ms == 900
    assert origins["turn.unsure_ms"] == "environment CODA_VOICE__TURN__UNSURE_MS"
    assert (config.turn.partial_ms, origins["turn.partial_ms"]) == (750, "command line --set")
    assert (config.stt, config.plugins.disabled) == ("mine", ("a", "b"))
    assert origins["turn.speculative_ms"] == "default"
    assert loaded.path == path


def test_values_of_the_environment_are_yaml() -> None:
    config = load_config(
        environ={
            "CODA_VOICE__AUDIO__VAD_ENABLED": "false",
            "CODA_VOICE__STORE__PATH": "",
            "CODA_VOICE__MODELS__SOURCES": "[index]",
            "CODA_VOICE__TURN": "{confirm_ms: 430}",
            "CODA_VOICE__TOTAL_VRAM": "24GB",
            "CODA_VOICE_TRACE": "1",
            "CODA_LLM_MODEL": "gpt-4",
        }
    ).config
    assert not config.audio.vad_enabled
    assert config.store.path is None
    assert config.models.sources == ("index",)
    assert config.turn.confirm_ms == 430
    assert config.total_vram == 24 * 1024**3


def test_settings_of_plugins_are_free_and_merge(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "voice:\n  plugins:\n    settings:\n      weather: {city: Bonn, days: 3}\n      x: {}\n",
    )
    loaded = load_config(path, environ={}, overrides=["plugins.settings.weather.city=Kiel"])
    assert loaded.config.plugins.settings == {"weather": {"city": "Kiel", "days": 3}, "x": {}}
    assert loaded.origins["plugins.settings.weather.days"] == f"{path}:4"
    assert loaded.origins["plugins.settings.weather.city"] == "command line --set"


def test_sections_left_empty_are_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "voice:\n  audio:\n    # vad: webrtc\n  turn: {}\n")
    assert load_config(path, environ={}).config == VoiceConfig()
    assert load_config(write(tmp_path, "voice:\n"), environ={}).config == VoiceConfig()


def test_anchors_and_merges_of_yaml_work(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "common: &quiet\n  level: warning\nvoice:\n  log:\n    <<: *quiet\n    transcripts: true\n",
    )
    loaded = load_config(path, environ={})
    assert (loaded.config.log.level, loaded.config.log.transcripts) == ("warning", True)
    assert loaded.origins["log.level"] == f"{path}:2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "voice:\n  audio:\n    sample_rte: 16000\n",
            "voice.audio.sample_rte is not a setting (FILE:3). "
            "Did you mean voice.audio.sample_rate?",
        ),
        (
            "voice:\n  vad_threshold: 0.5\n",
            "voice.vad_threshold is not a setting (FILE:2). "
            "Did you mean voice.audio.vad_threshold?",
        ),
        (
            "voice:\n  audoi:\n    vad: webrtc\n",
            "voice.audoi is not a setting (FILE:2). Did you mean voice.audio?",
        ),
        ("voice:\n  zzzzzz: 1\n", "voice.zzzzzz is not a setting (FILE:2)."),
        (
            "voice:\n  mod: hybrid\n",
            "voice.mod is not a setting (FILE:2). Did you mean voice.mode?",
        ),
        (
            "voice:\n  audio:\n    sample_rate: 11025\n",
            "voice.audio.sample_rate = 11025 (FILE:3): must be one of "
            "8000, 16000, 22050, 24000, 44100, 48000.",
        ),
        (
            "voice:\n  audio:\n    vad_threshold: 1.5\n",
            "voice.audio.vad_threshold = 1.5 (FILE:3): must be a number from 0 to 1.",
        ),
        (
            "voice:\n  turn:\n    confirm_ms: soon\n",
            'voice.turn.confirm_ms = "soon" (FILE:3): must be a whole number from 0 to 600000.',
        ),
        (
            "voice:\n  server:\n    port: yes\n",
            "voice.server.port = true (FILE:3): must be a whole number from 0 to 65535.",
        ),
        (
            "voice:\n  language: no\n",
            'voice.language = false (FILE:2): must be text; quote it: "no".',
        ),
        (
            "voice:\n  stt: 7\n",
            'voice.stt = 7 (FILE:2): must be text; quote it: "7".',
        ),
        (
            "voice:\n  audio:\n    vad_enabled: maybe\n",
            'voice.audio.vad_enabled = "maybe" (FILE:3): must be true or false.',
        ),
        (
            "voice:\n  plugins:\n    disabled: weather\n",
            'voice.plugins.disabled = "weather" (FILE:3): must be a list of names.',
        ),
        (
            "voice:\n  models:\n    sources: [hub, ftp]\n",
            'voice.models.sources = ["hub", "ftp"] (FILE:3): '
            "must be a list, each item one of hub, index.",
        ),
        (
            "voice:\n  plugins:\n    settings:\n      weather: 5\n",
            "voice.plugins.settings.weather = 5 (FILE:4): Input should be a valid dictionary.",
        ),
        (
            "voice:\n  audio: 5\n",
            "voice.audio is a section, not a value (FILE:2): put settings below it.",
        ),
        ("voice: 5\n", "voice is a section, not a value (FILE:1): put settings below it."),
        (
            "voice:\n  external_llm: {temperature: .nan}\n",
            "voice.external_llm.temperature = NaN (FILE:2): must be a number from 0 to 2.",
        ),
        (
            "voice:\n  external_llm: {base_url: localhost}\n",
            'voice.external_llm.base_url = "localhost" (FILE:2): '
            'write the whole address, such as "http://127.0.0.1:11434".',
        ),
        (
            "voice:\n  server: {host: ''}\n",
            'voice.server.host = "" (FILE:2): must be text, not empty.',
        ),
        (
            "voice:\n  llm: auto\n  stt: a\n  llm: ollama\n",
            "voice.llm is there twice (FILE:4); the first is in line 2.",
        ),
        ("voice: {}\nvoice: {}\n", "voice: is there twice (FILE:2); keep one."),
        ("voice:\n  [1, 2]: 3\n", "voice has a key that is no word (FILE:2)."),
        (
            "voice:\n  stt: 2024-02-31\n",
            "voice.stt (FILE:2): day is out of range for month.",
        ),
        (
            "voice:\n  stt: !!python/object/apply:os.system [echo]\n",
            "voice.stt (FILE:2): the tag !!python/object/apply:os.system would run Python code "
            "and is refused; write the plain value: echo.",
        ),
        (
            "voice:\n  stt: !mine x\n",
            "voice.stt (FILE:2): could not determine a constructor for the tag '!mine'.",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_is_allowed(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert problem(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE has no voice: section; begin with `voice:`."),
        ("# nothing\n", "FILE has no voice: section; begin with `voice:`."),
        ("- voice\n", "FILE has no voice: section; begin with `voice:`."),
        ("hello\n", "FILE has no voice: section; begin with `voice:`."),
        ("memory: {}\n", "FILE has no voice: section."),
        ("voices: {}\n", "FILE has no voice: section. Is voices: meant?"),
        (
            "audio:\n  vad: webrtc\n",
            "FILE has no voice: section; put `voice:` first and indent the rest.",
        ),
        (
            "voice:\n  audio:\n   vad: silero\n  vad: [\n",
            "FILE:5: not valid YAML: expected the node content, but found '<stream end>'.",
        ),
        (
            "voice:\n\tstt: x\n",
            "FILE:2: not valid YAML: found character '\\t' that cannot start any token.",
        ),
        (
            "voice: {}\n---\nvoice: {}\n",
            "FILE:2: not valid YAML: but found another document.",
        ),
        (
            "voice: {stt: *nobody}\n",
            "FILE:1: not valid YAML: found undefined alias 'nobody'.",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert problem(text, tmp_path) == expected


def test_hostile_yaml_ends_in_an_error_not_in_a_hang(tmp_path: Path) -> None:
    assert "nested too deeply" in problem("voice: " + "[" * 1200, tmp_path)
    itself = "voice:\n  plugins:\n    settings: &a\n      x: *a\n"
    assert problem(itself, tmp_path) == "FILE: an alias refers to itself."
    layers = ["a0: &a0 {k: 1}"]
    layers += [
        f"a{n}: &a{n} {{" + ", ".join(f"k{i}: *a{n - 1}" for i in range(9)) + "}"
        for n in range(1, 9)
    ]
    bomb = "\n".join([*layers, "voice: {plugins: {settings: *a8}}"])
    assert problem(bomb, tmp_path) == "FILE: more than 10000 values."


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == [
        f"cannot read {tmp_path / 'none.yaml'}: No such file or directory."
    ]
    assert problems(tmp_path) == [f"cannot read {tmp_path}: Is a directory."]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("voice: {stt: grün}".encode("latin-1"))
    assert problems(latin) == [f"{latin} is not UTF-8 text (byte 15)."]
    zeros = tmp_path / "zeros.yaml"
    zeros.write_bytes(b"\0\0\0")
    assert problems(zeros)[0].endswith("zeros.yaml: not valid YAML: character 1 is not printable.")
    if os.getuid():
        latin.chmod(stat.S_IWUSR)
        assert problems(latin) == [f"cannot read {latin}: Permission denied."]


def test_all_problems_of_all_layers_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "voice:\n  audio: {vad: magic}\n  servr: {}\n")
    assert problems(
        path,
        preset="cpus",
        environ={
            "CODA_VOICE__AUDIO__SAMPLE_RTE": "1",
            "CODA_VOICE__LOG__LEVEL": "loud",
            "CODA_VOICE__STT": "[",
            "CODA_VOICE__": "x",
        },
        overrides=["audio.vad_treshold=1", "prompt.history_turns=-1", "nonsense"],
    ) == [
        "no preset named 'cpus'. Did you mean 'cpu'? There are: cpu, development, hybrid-32gb, "
        "moshi-24gb, production, testing.",
        f"voice.servr is not a setting ({path}:3). Did you mean voice.server?",
        "CODA_VOICE__ is not a setting: write CODA_VOICE__SECTION__KEY.",
        "CODA_VOICE__STT: not valid YAML: expected the node content, but found '<stream end>'.",
        "CODA_VOICE__AUDIO__SAMPLE_RTE is not a setting. "
        "Did you mean CODA_VOICE__AUDIO__SAMPLE_RATE?",
        "--set nonsense: write section.key=value.",
        "--set audio.vad_treshold is not a setting. Did you mean audio.vad_threshold?",
        f'voice.audio.vad = "magic" ({path}:2): must be one of silero, webrtc.',
        "--set prompt.history_turns = -1: must be a whole number from 0 to 200.",
        'CODA_VOICE__LOG__LEVEL = "loud": must be one of debug, info, warning, error.',
    ]


def test_values_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, "voice:\n  turn:\n    confirm_ms: 100\n  reserved_system: 40GB\n")
    assert problems(path, overrides=["total_vram=32GB"]) == [
        f"voice.turn.confirm_ms ({path}:3) = 100 is less than turn.speculative_ms = 160: "
        "a turn cannot end before work on its answer may begin.",
        f"voice.reserved_system ({path}:4) is more than total_vram: "
        "nothing would be left for the models.",
    ]


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("8GB", 8 * 1024**3),
        ("512 MB", 512 * 1024**2),
        ("20GiB", 20 * 1024**3),
        ("1.5gb", 3 * 512 * 1024**2),
        ("1TB", 1024**4),
        ("2048kB", 2 * 1024**2),
        ("8589934592", 8 * 1024**3),
        ("0", 0),
    ],
)
def test_sizes_become_bytes(written: str, size: int) -> None:
    assert load_config(environ={}, overrides=[f"reserved_system={written}"]).config == VoiceConfig(
        reserved_system=size
    )


@pytest.mark.parametrize("written", ["8", "GB", "-8GB", "8XB", "eight", "true", "'8'", "1.5", "[]"])
def test_what_is_no_size_is_refused(written: str) -> None:
    (message,) = problems(overrides=[f"reserved_system={written}"])
    assert message.startswith("--set reserved_system = ")
    assert '"' in message


def test_the_words_of_the_settings_are_taken_as_text_where_yaml_would_not() -> None:
    config = load_config(
        environ={},
        overrides=["external_llm.reasoning_mode=off", "external_llm.keep_alive=-1"],
    ).config
    assert (config.external_llm.reasoning_mode, config.external_llm.keep_alive) == ("off", "-1")


def test_render_shows_every_value_with_its_origin_and_can_be_read_again(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "voice:\n  llm: 'no'\n  total_vram: 24GB\n  prompt:\n    system: |\n"
        '      A "b"\n      ü: c\n'
        "  plugins:\n    settings:\n      weather: {days: 3, 'odd: name': {deep: [1]}}\n",
    )
    loaded = load_config(path, preset="testing", environ={}, overrides=["server.port=0"])
    text = render(loaded)
    assert f'  llm: "no"  # {path}:2\n' in text
    assert f"  total_vram: 24GB  # {path}:3\n" in text
    assert "    port: 0  # command line --set\n" in text
    assert "    offline: true  # preset testing\n" in text
    assert "  stt: moonshine  # default\n" in text
    again = tmp_path / "again.yaml"
    again.write_text(text, encoding="utf-8")
    assert load_config(again, environ={}).config == loaded.config


def test_render_hides_secrets() -> None:
    loaded = load_config(
        environ={},
        overrides=[
            "plugins.settings.weather.api_key=hunter2",
            "external_llm.base_url=http://ada:hunter2@host:11434",
        ],
    )
    assert "hunter2" not in render(loaded)
    assert loaded.config.plugins.settings["weather"]["api_key"] == "hunter2"


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    layers = ({"environ": {"CODA_VOICE__STT": text}}, {"environ": {}, "overrides": [f"stt={text}"]})
    for layer in layers:
        with suppress(ConfigError):
            assert isinstance(load_config(**layer).config.stt, str)
