"""Kyutai's engines in this process keep the contracts of an ear and a mouth, as far as tiny models
with random weights can: their words and sounds mean nothing."""

from __future__ import annotations

from typing import ClassVar

import pytest
from kyutai_tiny import make_stt, make_tts, noise

from coda_voice_plugin import SpeechToText, TextToSpeech
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.engines.kyutai import KyutaiSTT, KyutaiTTS
from coda_voice_plugin.testing import SpeechToTextContract, TextToSpeechContract


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


class TestLocalKyutaiSTT(SpeechToTextContract):
    invents_nothing: ClassVar[bool] = False

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> SpeechToText:
        return KyutaiSTT(make_stt(tmp_path_factory.mktemp("stt")))

    @pytest.fixture(scope="class")
    @classmethod
    def speech(cls) -> list[tuple[str, Floats]]:
        return [("one", noise(1, 0.32)), ("two", noise(2, 0.24))]

    def understood(self, said: str, heard: str) -> bool:
        return bool(heard)


class TestLocalKyutaiTTS(TextToSpeechContract):
    sentence: ClassVar[str] = "I am in it as we go up to an old inn of a day."
    repeats_itself: ClassVar[bool] = False
    long_text_sentences: ClassVar[int] = 2

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> TextToSpeech:
        return KyutaiTTS(make_tts(tmp_path_factory.mktemp("tts")))
