from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin import AudioError, AudioFrame, VoiceConfig, weights
from coda_voice_plugin.audio import (
    AudioProcessor,
    Began,
    Ended,
    Lasted,
    Paused,
    Silero,
    Voice,
    read_audio,
    to_floats,
    to_pcm,
)
from coda_voice_plugin.audio.gate import REPLAY
from coda_voice_plugin.errors import EngineMissingError

HUMAN = Path("/usr/share/pocketsphinx/test/data")
LIBRIVOX = sorted((HUMAN / "librivox").glob("*.wav"))
CARDS = sorted((HUMAN / "cards").glob("*.wav"))
needs_human_speech = pytest.mark.skipif(not LIBRIVOX, reason="needs Debian's pocketsphinx-testdata")
WEBRTC = VoiceConfig(audio={"vad": "webrtc"})


def buzz(seconds, rate=16_000, pitch=120.0):
    """A voice-like sound: the harmonics of a glottis under three formants, in syllables."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros_like(time)
    for harmonic in range(1, 30):
        hertz = harmonic * pitch
        loud = sum(np.exp(-(((hertz - formant) / 150) ** 2)) for formant in (600, 1_200, 2_500))
        sound += loud * np.sin(2 * np.pi * hertz * time + harmonic)
    sound *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


def hush(seconds, rate=16_000):
    return np.random.default_rng(0).normal(0, 1e-4, round(seconds * rate)).astype(np.float32)


def conversation(rate):
    """Two utterances, the first with a pause inside."""
    parts = (hush(0.6), buzz(0.6), hush(0.3), buzz(0.5), hush(1.2), buzz(0.4), hush(0.2))
    pieces = [
        buzz(len(part) / 16_000, rate) if part.max() > 0.01 else hush(len(part) / 16_000, rate)
        for part in parts
    ]
    return to_pcm(np.concatenate(pieces))


def plain(sounds):
    """Sounds as comparable values."""
    return [
        (
            type(sound).__name__,
            *(
                value.tobytes() if isinstance(value, np.ndarray) else value
                for name in sound.__dataclass_fields__
                for value in [getattr(sound, name)]
            ),
        )
        for sound in sounds
    ]


def run(processor, pcm, cuts=()):
    edges = sorted({0, len(pcm), *cuts})
    sounds = []
    for begin, end in pairwise(edges):
        sounds += processor.push(pcm[begin:end])
    return sounds + processor.finish()


def in_frames(pcm, rate=16_000):
    return range(0, len(pcm), rate // 50 * 2)


def events(sounds):
    return [sound for sound in sounds if not isinstance(sound, AudioFrame | Voice)]


class Scripted:
    """Stands for Silero: believes the gate, and writes down what it was asked."""

    def __init__(self):
        self.windows = []
        self.resets = 0

    def state(self):
        return self

    def reset(self):
        self.resets += 1

    def judge(self, state, window):
        self.windows.append(window)
        return float(np.abs(window).max() > 0.01)


CONVERSATIONS = {rate: conversation(rate) for rate in (16_000, 48_000)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rate=st.sampled_from([16_000, 48_000]), data=st.data())
def test_any_split_of_the_input_gives_the_same_sounds(rate: int, data) -> None:
    pcm = CONVERSATIONS[rate]
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=40))
    whole, split = (
        run(AudioProcessor(WEBRTC, input_rate=rate, far_rate=24_000), pcm, each)
        for each in ((), cuts)
    )
    assert plain(whole) == plain(split)
    kinds = [type(sound).__name__ for sound in events(whole)]
    assert kinds.count("Began") == kinds.count("Ended") == 2


def test_single_bytes_give_the_same_sounds_as_one_piece() -> None:
    pcm = CONVERSATIONS[16_000][: 2 * 24_000]
    whole, split = (
        run(AudioProcessor(WEBRTC, input_rate=16_000, far_rate=24_000), pcm, each)
        for each in ((), range(len(pcm)))
    )
    assert plain(whole) == plain(split)


def test_frames_are_gapless_and_hold_everything_that_was_heard() -> None:
    pcm = CONVERSATIONS[16_000] + bytes(2 * 100)
    config = VoiceConfig(audio={"vad": "webrtc", "high_pass": False})
    sounds = run(AudioProcessor(config, input_rate=16_000, far_rate=24_000), pcm)
    frames = [sound for sound in sounds if isinstance(sound, AudioFrame)]
    assert b"".join(frame.pcm for frame in frames) == pcm
    assert [frame.start for frame in frames] == [320 * index for index in range(len(frames))]
    assert {frame.samples for frame in frames[:-1]} == {320}


def test_an_utterance_is_a_piece_of_the_stream_without_gap_or_repetition() -> None:
    sounds = run(AudioProcessor(WEBRTC, input_rate=16_000, far_rate=24_000), CONVERSATIONS[16_000])
    stream = to_floats(b"".join(each.pcm for each in sounds if isinstance(each, AudioFrame)))
    heard, at, checked = [], 0, 0
    for sound in sounds:
        if isinstance(sound, AudioFrame):
            at = sound.end
        elif isinstance(sound, Began):
            heard, first = [sound.pre_roll], at - len(sound.pre_roll)
            assert sound.at - 400 * 16 <= first <= sound.at
        elif isinstance(sound, Voice):
            heard.append(sound.samples)
        elif isinstance(sound, Ended):
            whole = np.concatenate(heard)
            np.testing.assert_allclose(whole, stream[first : first + len(whole)], atol=1 / 32_000)
            assert sound.end <= first + len(whole)
            checked += 1
    assert checked == 2


def test_positions_are_microphone_samples_at_16_khz_whatever_the_rate() -> None:
    found = []
    for rate in (16_000, 48_000):
        processor = AudioProcessor(WEBRTC, input_rate=rate, far_rate=24_000)
        sounds = run(processor, CONVERSATIONS[rate])
        found.append([sound.end for sound in sounds if isinstance(sound, Ended)])
        assert abs(processor.position - len(CONVERSATIONS[16_000]) // 2) <= 1
    assert np.abs(np.subtract(*found)).max() <= 512


def test_the_end_of_the_microphone_ends_an_open_utterance() -> None:
    processor = AudioProcessor(WEBRTC, input_rate=16_000, far_rate=24_000)
    sounds = processor.push(to_pcm(np.concatenate([hush(0.5), buzz(0.6)])))
    assert not any(isinstance(sound, Paused | Ended) for sound in sounds)
    paused, ended = events(processor.finish())
    assert isinstance(paused, Paused)
    assert ended.end == paused.at
    assert processor.finish() == []


def test_silence_only_gives_frames() -> None:
    sounds = run(AudioProcessor(WEBRTC, input_rate=16_000, far_rate=24_000), bytes(64_000))
    assert events(sounds) == []
    assert len(sounds) == 100


@pytest.mark.parametrize(
    "config",
    [
        VoiceConfig(conversation_mode="push_to_talk"),
        VoiceConfig(audio={"vad_enabled": False}),
    ],
)
def test_turns_by_key_need_no_voice_detection(config: VoiceConfig) -> None:
    processor = AudioProcessor(config, input_rate=16_000, far_rate=24_000)
    assert events(processor.push(to_pcm(buzz(1.0)))) == []
    began, lasted = processor.talk_key(True)
    assert (began.at, lasted) == (16_000, Lasted(0))
    assert len(began.pre_roll) == 400 * 16
    spoken = processor.push(to_pcm(np.concatenate([buzz(0.5), hush(3.0)])))
    assert events(spoken) == []
    *_, paused, ended = processor.talk_key(False)
    assert (paused, ended) == (Paused(16_000 + 56_000), Ended(16_000, 16_000 + 56_000))
    assert events(processor.push(to_pcm(buzz(1.0)))) == []


def test_without_its_model_the_judge_is_not_replaced_in_silence() -> None:
    with pytest.raises(AudioError, match="silero-vad"):
        AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "webrtcvad", None)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
        AudioProcessor(WEBRTC, input_rate=16_000, far_rate=24_000)


def test_silence_does_not_reach_silero() -> None:
    silero = Scripted()
    processor = AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000, silero=silero)
    processor.push(to_pcm(hush(10.0)))
    # The gate's own start may let a moment through.
    assert len(silero.windows) * 0.032 < 1.0


def test_when_the_gate_opens_silero_reads_the_windows_before() -> None:
    silero = Scripted()
    config = VoiceConfig(audio={"high_pass": False})
    processor = AudioProcessor(config, input_rate=16_000, far_rate=24_000, silero=silero)
    stream = np.concatenate([hush(5.12), buzz(0.5)])
    processor.push(to_pcm(stream[: 5 * 16_000]))
    silero.windows.clear()
    resets = silero.resets
    processor.push(to_pcm(stream[5 * 16_000 :]))
    assert silero.resets == resets + 1
    read = np.concatenate(silero.windows)
    first = (len(stream) - len(read)) // 512 * 512
    np.testing.assert_allclose(read, stream[first : first + len(read)], atol=1 / 32_000)
    assert 5.12 * 16_000 - first >= (REPLAY - 2) * 512


@pytest.fixture(scope="session")
def silero() -> Silero:
    return Silero(weights.find("silero-vad", VoiceConfig().models))


@pytest.fixture(scope="session")
def transcribe():
    from moonshine_voice import ModelArch, Transcriber, get_model_path

    model = Transcriber(
        str(get_model_path("tiny-en")), ModelArch.TINY, options={"vad_threshold": "0.0"}
    )
    yield lambda samples: " ".join(
        line.text for line in model.transcribe_without_streaming(samples.tolist(), 16_000).lines
    )
    model.close()


@pytest.mark.real
@needs_human_speech
@settings(max_examples=8, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_split_gives_the_same_sounds_with_silero(silero: Silero, data) -> None:
    pcm = read_audio(CARDS[4]).pcm + bytes(32_000)
    cuts = data.draw(st.lists(st.integers(0, len(pcm)), max_size=40))
    whole, split = (
        run(
            AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000, silero=silero),
            pcm,
            each,
        )
        for each in ((), cuts)
    )
    assert plain(whole) == plain(split)
    assert "Ended" in [type(sound).__name__ for sound in whole]


@pytest.mark.real
@needs_human_speech
@pytest.mark.parametrize("path", LIBRIVOX + CARDS, ids=lambda path: path.stem[-4:])
def test_the_gate_loses_no_beginning(silero: Silero, path: Path) -> None:
    """Silero that hears everything is never sure of speech before it begins behind the gate."""
    pcm = to_pcm(hush(3.0)) + read_audio(path).pcm + bytes(2 * 16_000)
    processor = AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000, silero=silero)
    sounds = run(processor, pcm, in_frames(pcm))
    began = next(sound.at for sound in sounds if isinstance(sound, Began))
    stream = to_floats(b"".join(each.pcm for each in sounds if isinstance(each, AudioFrame)))
    state = silero.state()
    always = [
        silero.judge(state, stream[start : start + 512])
        for start in range(0, len(stream) - 511, 512)
    ]
    sure = next(index for index in range(len(always)) if min(always[index : index + 4]) >= 0.9)
    assert began <= (sure + 1) * 512


@pytest.mark.real
@needs_human_speech
@pytest.mark.parametrize(
    ("path", "words"),
    [
        (HUMAN / "librivox/sense_and_sensibility_01_austen_64kb-0880.wav", "he was not"),
        (HUMAN / "librivox/sense_and_sensibility_01_austen_64kb-0920.wav", "had he married"),
        (HUMAN / "librivox/sense_and_sensibility_01_austen_64kb-0930.wav", "he might even"),
        (HUMAN / "cards/001.wav", "ten of"),
        (HUMAN / "cards/003.wav", "seven of"),
        (HUMAN / "cards/005.wav", "eight of"),
    ],
)
def test_the_first_word_is_not_cut(silero: Silero, transcribe, path: Path, words: str) -> None:
    pcm = to_pcm(hush(2.0)) + read_audio(path).pcm + bytes(2 * 24_000)
    processor = AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000, silero=silero)
    heard = []
    for sound in run(processor, pcm, in_frames(pcm)):
        if isinstance(sound, Began):
            heard.append(sound.pre_roll)
        elif isinstance(sound, Voice):
            heard.append(sound.samples)
    assert transcribe(np.concatenate(heard)).lower().startswith(words)


@pytest.mark.real
@needs_human_speech
def test_loud_noise_is_not_speech_to_silero(silero: Silero) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * 16_000).astype(np.float32)
    processor = AudioProcessor(VoiceConfig(), input_rate=16_000, far_rate=24_000, silero=silero)
    assert events(run(processor, to_pcm(noise))) == []
