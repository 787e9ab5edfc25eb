"""The ``voice:`` section of Coda 2.0: every key is taken, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from coda_voice_plugin import ConfigError
from coda_voice_plugin.config import load_config
from coda_voice_plugin.config.coda import KEYS, MODES, REASONS
from coda_voice_plugin.config.schema import settings

GB = 1024**3

# Every key that Coda's voice models have at either of its commits (facts, not text).
CODA_SECTION = """\
assistant: {name: x}
voice:
  mode: moshi_only
  conversation_mode: turn_based
  audio: {sample_rate: 16000, channels: 1, bit_depth: 16, chunk_size: 1024, format: wav,
          vad_enabled: true, vad_threshold: 0.4, silence_duration_ms: 1000,
          noise_reduction: true, echo_cancellation: true, auto_gain_control: true}
  moshi: {model_path: kyutai/moshiko-pytorch-bf16, device: cuda, optimization: bf16,
          max_conversation_length: 200, target_latency_ms: 250, vram_allocation: 8GB,
          enable_streaming: false, external_llm_enabled: false, inner_monologue_enabled: false}
  external_llm: {provider: ollama, model: "qwen3:30b-a3b", vram_allocation: 20GB,
          reasoning_mode: enhanced, context_window: 4096, temperature: 0.6,
          parallel_processing: false, fallback_enabled: false}
  memory_integration_enabled: false
  personality_integration_enabled: false
  tools_integration_enabled: false
  websocket_events_enabled: false
  total_vram: 32GB
  reserved_system: 4GB
  dynamic_allocation: false
  enable_traditional_pipeline: false
  fallback_whisper_model: large-v3
  fallback_tts_model: xtts_v2
"""


def messages(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(environ={}, overrides=overrides)
    return str(caught.value).splitlines()


def test_a_complete_section_of_codas_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(CODA_SECTION)
    loaded = load_config(path, environ={})
    config = loaded.config
    assert (config.strategy, config.conversation_mode) == ("moshi", "turn_based")
    assert loaded.origins["strategy"] == f"{path}:3"
    assert config.audio.model_dump(include={"sample_rate", "chunk_size", "vad_threshold"}) == {
        "sample_rate": 16000,
        "chunk_size": 1024,
        "vad_threshold": 0.4,
    }
    assert config.audio.silence_duration_ms == 1000
    assert config.audio.noise_reduction
    assert config.audio.echo_cancellation
    assert config.audio.auto_gain_control
    assert config.moshi.model_dump(exclude_unset=True) == {
        "model_path": "kyutai/moshiko-pytorch-bf16",
        "device": "cuda",
        "optimization": "bf16",
        "max_conversation_length": 200,
        "target_latency_ms": 250,
        "vram_allocation": 8 * GB,
        "enable_streaming": False,
        "external_llm_enabled": False,
        "inner_monologue_enabled": False,
    }
    llm = config.external_llm
    assert (llm.model, llm.vram_allocation, llm.reasoning_mode) == (
        "qwen3:30b-a3b",
        20 * GB,
        "enhanced",
    )
    assert (llm.context_window, llm.temperature) == (4096, 0.6)
    assert not llm.parallel_processing
    assert not llm.fallback_enabled
    assert (config.total_vram, config.reserved_system) == (32 * GB, 4 * GB)
    for name in ("memory", "personality", "tools"):
        assert not getattr(config, f"{name}_integration_enabled")
    assert not config.websocket_events_enabled
    assert not config.dynamic_allocation


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(CODA_SECTION)
    assert load_config(path, environ={}).notes == (
        f"voice.fallback_whisper_model ({path}:22) has no effect: the traditional pipeline is "
        "off, and stt chooses the engine.",
        f"voice.fallback_tts_model ({path}:23) has no effect: the traditional pipeline is "
        "off, and tts chooses the engine.",
        "voice.moshi.target_latency_ms, voice.moshi.enable_streaming, "
        "voice.total_vram, voice.reserved_system, voice.dynamic_allocation: no effect in this "
        "version.",
    )


@pytest.mark.parametrize(("mode", "strategy"), MODES.items())
def test_each_mode_names_a_strategy(mode: str, strategy: str) -> None:
    assert load_config(environ={}, overrides=[f"mode={mode}"]).config.strategy == strategy
    agreed = [f"mode={mode}", f"strategy={strategy}"]
    assert load_config(environ={}, overrides=agreed).config.strategy == strategy


def test_a_mode_and_another_strategy_contradict_each_other() -> None:
    assert messages("mode=hybrid", "strategy=echo") == [
        '--set mode = "hybrid" means strategy hybrid, but --set strategy is "echo"; '
        "keep one of the two."
    ]


def test_a_later_layer_changes_what_a_mode_has_chosen(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(CODA_SECTION)
    assert load_config(path, environ={}, overrides=["strategy=echo"]).config.strategy == "echo"
    later = {"CODA_VOICE__MODE": "adaptive"}
    assert load_config(path, environ=later).config.strategy == "adaptive"
    assert load_config(path, preset="hybrid-32gb", environ={}).config.strategy == "moshi"


def test_an_unknown_mode_is_refused() -> None:
    assert messages("mode=fast") == [
        '--set mode = "fast": must be one of moshi_only, hybrid, traditional, adaptive; '
        "or name a strategy with `strategy`."
    ]


@pytest.mark.parametrize(
    ("key", "damaged", "right"),
    [
        (
            "moshi.model_path",
            "kyutai / moshiko - pytorch - bf16",
            "kyutai/moshiko-pytorch-bf16",
        ),
        (
            "external_llm.model",
            "llama3.1:70b - instruct - q4_K_M",
            "llama3.1:70b-instruct-q4_K_M",
        ),
        ("fallback_whisper_model", "large - v3", "large-v3"),
        ("embedded_llm.model", "qwen2.5 - coder-0.5b", "qwen2.5-coder-0.5b"),
    ],
)
def test_a_name_that_a_formatter_damaged_is_shown_as_it_should_be(
    key: str, damaged: str, right: str
) -> None:
    assert messages(f"{key}={damaged}") == [
        f'--set {key} = "{damaged}": a formatter put spaces into the name; write "{right}".'
    ]


def test_a_file_may_have_spaces_in_its_name() -> None:
    path = "/models/my - own/model.gguf"
    config = load_config(environ={}, overrides=[f"embedded_llm.model={path}"]).config
    assert config.embedded_llm.model == path


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("audio.channels=2", "must be 1; speech is mono"),
        ("audio.bit_depth=24", "must be 16; speech is 16-bit PCM"),
        ("audio.format=mp3", "must be one of wav, flac, ogg; MP3 is read but not written"),
        ("audio.format=webm", "WebM is read but not written"),
        ("external_llm.provider=elevenlabs", "must be ollama; speech and words stay on this"),
        ("external_llm.provider=moshi", "`strategy: moshi`"),
        ("external_llm.provider=mock", "`strategy: echo`"),
        ("external_llm.model=mock://llm", "there are no pretended models"),
        ("external_llm.model=null", ""),
        ("external_llm.reasoning_mode=basic", ""),
        ("moshi.optimization=none", "bf16 as published"),
        ("moshi.device=cuda:1", "CUDA_VISIBLE_DEVICES"),
        ("stt={engine: whisper, model: base}", "it is the name of the ear"),
        ("tts={engine: elevenlabs}", "it is the name of the mouth"),
        ("enable_traditional_pipeline=true", "`strategy: ollama`"),
        ("enable_traditional_pipeline=false", ""),
    ],
)
def test_a_value_of_codas_is_taken_or_refused_with_the_reason(override: str, said: str) -> None:
    if said:
        (message,) = messages(override)
        assert said in message
    else:
        load_config(environ={}, overrides=[override])


def test_the_tables_of_codas_keys_name_real_settings() -> None:
    keys = {setting.key for setting in settings().values()}
    assert set(REASONS) <= keys
    assert not set(KEYS) & keys


def test_python_tags_of_codas_files_are_refused_with_the_plain_value(tmp_path: Path) -> None:
    path = tmp_path / "production.yaml"
    path.write_text(
        "voice:\n"
        "  mode: !!python/object/apply:src.coda.components.voice.models.VoiceProcessingMode\n"
        "  - hybrid\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={})
    assert str(caught.value) == (
        f"voice.mode ({path}:2): the tag !!python/object/apply:src.coda.components.voice.models."
        "VoiceProcessingMode would run Python code and is refused; write the plain value: hybrid."
    )
