"""The ears and mouths of the house, held to their contracts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from human_speech import FOLDER, NEEDED, clips
from words import word_error_rate

from coda_voice_plugin import SpeechToText, TextToSpeech, VoiceConfig
from coda_voice_plugin.engine import Floats
from coda_voice_plugin.engines.hibari import HibariTTS
from coda_voice_plugin.engines.moonshine import MoonshineSTT
from coda_voice_plugin.testing import (
    ScriptedSTT,
    ScriptedTTS,
    SpeechToTextContract,
    TextToSpeechContract,
)


class TestScriptedEar(SpeechToTextContract):
    repeats_itself = False  # it reads whole windows

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> SpeechToText:
        return ScriptedSTT(VoiceConfig())

    @pytest.fixture(scope="class")
    @classmethod
    def speech(cls) -> Sequence[tuple[str, Floats]]:
        return [(f"u{n}", np.full(5_120, (100 + n) / 1000, np.float32)) for n in range(1, 4)]


@pytest.mark.real
@pytest.mark.skipif(not FOLDER.is_dir(), reason=NEEDED)
class TestMoonshine(SpeechToTextContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> SpeechToText:
        return MoonshineSTT(VoiceConfig())

    @pytest.fixture(scope="class")
    @classmethod
    def speech(cls) -> Sequence[tuple[str, Floats]]:
        return sorted(clips(), key=lambda clip: len(clip[1]))[:3]

    def understood(self, said: str, heard: str) -> bool:
        return word_error_rate([(said, heard)]) <= 0.25


class TestScriptedMouth(TextToSpeechContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> TextToSpeech:
        return ScriptedTTS(VoiceConfig())


@pytest.mark.real
class TestHibari(TextToSpeechContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> TextToSpeech:
        return HibariTTS(VoiceConfig())
