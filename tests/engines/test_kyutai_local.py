"""Which of Kyutai's engines the settings choose, and what each needs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kyutai_tiny import make_stt, make_tts, noise, of

from coda_voice_plugin import (
    EngineError,
    EngineMissingError,
    EngineTimeoutError,
    ModelMissingError,
    SpeakingStyle,
    SpokenAudio,
    VoiceConfig,
    WeightsError,
    load_plugins,
)
from coda_voice_plugin.engines.kyutai import KyutaiSTT, KyutaiTTS
from coda_voice_plugin.engines.kyutai.pause import SURE, finished
from coda_voice_plugin.engines.kyutai.voices import path_of
from coda_voice_plugin.errors import NoDeviceError, WrongModelError
from coda_voice_plugin.kyutai import checkpoint

STT_URL = "ws://gpu-box:8080/api/asr-streaming"
TTS_URL = "ws://gpu-box:8089/api/tts_streaming"
PLAIN = SpeakingStyle()
MANY = "one two three four five six seven eight nine ten one two three four five six"
"""Enough words for sound to come before the last of them."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def test_both_are_registered_without_importing_what_is_not_used() -> None:
    plugins = load_plugins()
    assert plugins.engine("stt", "kyutai") is KyutaiSTT
    assert plugins.engine("tts", "kyutai") is KyutaiTTS


async def test_an_address_means_the_server_and_each_of_the_two_decides_for_itself() -> None:
    stt, tts = KyutaiSTT(of(stt_url=STT_URL)), KyutaiTTS(of(stt_url=STT_URL))
    assert (stt.label, tts.label) == ("kyutai gpu-box:8080", "kyutai tts-1.6b-en_fr")
    assert await stt.weights() == ()
    assert await tts.weights() == (
        ("kyutai/tts-1.6b-en_fr",),
        ("kyutai/tts-voices/expresso/ex03-ex01_happy_001_channel1_334s.wav"
         ".1e68beda@240.safetensors",),
    )  # fmt: skip
    stt, tts = KyutaiSTT(of(tts_url=TTS_URL)), KyutaiTTS(of(tts_url=TTS_URL))
    assert (stt.label, tts.label) == ("kyutai stt-1b-en_fr", "kyutai gpu-box:8089")
    assert await stt.weights() == (("kyutai/stt-1b-en_fr",),)
    assert await tts.weights() == ()


async def test_a_local_folder_needs_no_weights_and_an_unknown_model_says_its_voices_later(
    tmp_path: Path,
) -> None:
    assert await KyutaiSTT(of(stt_model=str(tmp_path))).weights() == ()
    voice = tmp_path / "one.safetensors"
    voice.touch()
    here = of(tts_model=str(tmp_path), tts_voice=str(voice))
    assert await KyutaiTTS(here).weights() == ()
    assert KyutaiTTS(here).label == f"kyutai {tmp_path.name}"
    unknown = of(tts_model="somebody/voice", tts_voice="one.wav")
    assert await KyutaiTTS(unknown).weights() == (("somebody/voice",),)
    made = make_tts(tmp_path / "tts").kyutai.tts_model
    known = of(tts_model=made, tts_voice="a/one.wav")
    expected = (("kyutai/tts-voices/a/one.wav.tiny@0.safetensors",),)
    assert await KyutaiTTS(known).weights() == expected


@pytest.mark.parametrize("engine", [KyutaiSTT, KyutaiTTS])
@pytest.mark.parametrize("package", ["torch", "moshi"])
async def test_a_missing_package_is_named_with_its_extra(
    engine: type[Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoint.find_spec
    monkeypatch.setattr(
        checkpoint, "find_spec", lambda name: None if name == package else real(name)
    )
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[moshi\]") as error:
        await opened(engine(of()))
    assert (error.value.engine, error.value.package) == ("kyutai", package)


async def opened(engine: Any) -> None:
    async with engine.open():
        pass


@pytest.mark.parametrize("engine", [KyutaiSTT, KyutaiTTS])
async def test_a_gpu_that_is_not_there_is_said_at_the_start(engine: type[Any]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(NoDeviceError):
        await opened(engine(of(device="cuda")))


async def test_the_wrong_kind_of_model_is_refused_with_the_setting(tmp_path: Path) -> None:
    stt = make_stt(tmp_path / "stt").kyutai.stt_model
    voiced = make_tts(tmp_path / "tts")
    with pytest.raises(WrongModelError, match=r"kyutai\.tts_model"):
        await opened(KyutaiSTT(of(stt_model=voiced.kyutai.tts_model)))
    with pytest.raises(WrongModelError, match=r"kyutai\.stt_model"):
        await opened(KyutaiTTS(of(tts_model=stt, tts_voice=voiced.kyutai.tts_voice)))


def test_nothing_here_imports_torch_before_it_is_opened() -> None:
    import subprocess

    code = (
        "import sys; from coda_voice_plugin import VoiceConfig;"
        "from coda_voice_plugin.engines.kyutai import KyutaiSTT, KyutaiTTS;"
        "KyutaiSTT(VoiceConfig()).label, KyutaiTTS(VoiceConfig()).label;"
        "print([name for name in ('torch', 'moshi', 'aiohttp') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Voices.


def test_a_voice_lies_where_the_configured_one_lies(tmp_path: Path) -> None:
    config = make_tts(tmp_path / "tts")
    folder = tmp_path / "tts" / "voices"
    ending = "tiny@0"
    assert path_of(config, ending) == folder / "one.wav.tiny@0.safetensors"
    assert path_of(config, ending, "two.wav") == folder / "two.wav.tiny@0.safetensors"
    whole = of(tts_voice=str(folder / "two.wav.tiny@0.safetensors"))
    assert path_of(whole, ending) == folder / "two.wav.tiny@0.safetensors"


def test_a_name_from_elsewhere_reaches_no_other_file(tmp_path: Path) -> None:
    config = make_tts(tmp_path / "tts")
    (tmp_path / "tts" / "secret.wav.tiny@0.safetensors").touch()
    for name in ("../secret.wav", str(tmp_path / "tts" / "secret.wav")):
        with pytest.raises(EngineError, match="does not lie in"):
            path_of(config, "tiny@0", name)
        with pytest.raises(WeightsError):
            path_of(of(), "tiny@0", name)


def test_a_voice_that_is_not_there_is_said(tmp_path: Path) -> None:
    config = make_tts(tmp_path / "tts")
    with pytest.raises(ModelMissingError, match=r"kyutai\.tts_voice"):
        path_of(config, "tiny@0", "nobody.wav")
    with pytest.raises(WeightsError, match="coda-voice fetch"):
        path_of(of(), "1e68beda@240")


# The judgement of pauses.


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_the_threshold_is_where_the_house_believes_it(threshold: float) -> None:
    scale = [finished(each, threshold) or 0.0 for each in np.linspace(0, 1, 41)]
    assert scale == sorted(scale)
    assert (scale[0], scale[-1]) == (0.0, 1.0)
    assert finished(threshold, threshold) == SURE
    assert finished(None, threshold) is None
    for extreme in (0.0, 1.0):
        assert finished(0.7, extreme) == 0.7


# What the engines do with a model.


async def test_a_pause_is_judged_and_the_user_may_go_on(tmp_path: Path) -> None:
    async with KyutaiSTT(make_stt(tmp_path)).open() as stt:
        once, twice = stt.listen(), stt.listen()
        assert once.turn_probability is None
        for each in (once, twice):
            each.accept(noise(1, 0.24))
        first = await twice.text(final=True)
        assert 0.0 < (twice.turn_probability or 0.0) < 1.0
        assert await twice.text(final=False) == first
        for each in (once, twice):
            each.accept(noise(2, 0.24))
        assert await once.text(final=True) == await twice.text(final=True) != first
        once.close()
        twice.close()


async def test_a_place_that_is_taken_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coda_voice_plugin.kyutai import ear_slot

    monkeypatch.setattr(ear_slot, "ANSWER_S", 0.3)
    async with KyutaiSTT(make_stt(tmp_path)).open() as stt:
        everybody = [stt.listen() for _ in range(3)]
        for each in everybody:
            each.accept(noise(1, 0.24))
        texts = [await each.text(final=True) for each in everybody[:2]]
        assert texts[0] == texts[1]
        with pytest.raises(EngineError, match=r"kyutai\.stt_slots"):
            await everybody[2].text(final=True)
        everybody[2].close()
        everybody[0].close()
        after = stt.listen()
        after.accept(noise(1, 0.24))
        assert await after.text(final=True) == texts[0]


async def test_an_answer_is_spoken_while_it_is_written(tmp_path: Path) -> None:
    async with KyutaiTTS(make_tts(tmp_path)).open() as tts:
        written: list[str] = []

        async def writing() -> AsyncIterator[str]:
            for word in MANY.split():
                written.append(word)
                yield f"{word} "
                await asyncio.sleep(0.06)

        words, first = [], 0
        async for piece in tts.synthesize_stream(writing(), PLAIN):
            first = first or len(written)
            words += [word.text for word in piece.words]
        assert words == written
        assert 3 <= first < len(written)


async def test_what_ends_the_texts_is_raised_after_the_words_before(tmp_path: Path) -> None:
    async def writing() -> AsyncIterator[str]:
        yield "one two"
        raise EngineTimeoutError("mind", "late.")

    async with KyutaiTTS(make_tts(tmp_path)).open() as tts:
        pieces: list[SpokenAudio] = []

        async def collect() -> None:
            async for piece in tts.synthesize_stream(writing(), PLAIN):
                pieces.append(piece)  # noqa: PERF401 - they are kept when it raises

        with pytest.raises(EngineTimeoutError, match="mind"):
            await collect()
        assert [word.text for piece in pieces for word in piece.words] == ["one", "two"]


async def test_what_is_still_spoken_ends_with_the_engine(tmp_path: Path) -> None:
    async def writing() -> AsyncIterator[str]:
        yield MANY
        await asyncio.Event().wait()

    async with KyutaiTTS(make_tts(tmp_path)).open() as tts:
        forgotten = tts.synthesize_stream(writing(), PLAIN)
        await anext(forgotten)
    with pytest.raises(EngineError, match="closing"):
        async for _ in forgotten:
            pass


async def test_the_voice_of_a_style_is_used_for_its_answer_only(tmp_path: Path) -> None:
    async with KyutaiTTS(make_tts(tmp_path)).open() as tts:
        seats: list[str] = []
        mouth: Any = tts._mouth
        speakers = mouth._batch.speakers
        seat = speakers.seat

        def noted(slot: int, speaker: Any, state: Any) -> None:
            seats.append(Path(speaker.name).name)
            seat(slot, speaker, state)

        speakers.seat = noted
        for voice in (None, "two.wav", "two.wav", str(tmp_path / "voices" / "one.wav")):
            async for _ in tts.synthesize("yes", SpeakingStyle(voice=voice)):
                pass
        assert [name.partition(".")[0] for name in seats] == ["one", "two", "two", "one"]
        with pytest.raises(EngineError, match="nobody"):
            async for _ in tts.synthesize("yes", SpeakingStyle(voice="nobody")):
                pass


def test_int8_is_not_for_the_voice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coda_voice_plugin.engines.kyutai import loading

    asked: list[str] = []

    def load(model: str, models: Any, device: str, number_format: str, **options: Any) -> Any:
        asked.append(number_format)
        raise ModelMissingError("kyutai", "none", "stop here.")

    monkeypatch.setattr(loading, "load", load)
    config: VoiceConfig = of(optimization="int8")
    for kind in ("voice", "ear"):
        with pytest.raises(ModelMissingError):
            loading.load_for(config, str(tmp_path), kind, 1, "kyutai.tts_slots")
    assert asked == ["bf16", "int8"]
    assert "int8 is not possible for the voice" in caplog.text
