import os
import resource
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coda_voice_plugin import AudioError
from coda_voice_plugin.audio.files import AudioClip, read_audio, stream_audio, write_audio
from coda_voice_plugin.audio.pcm import to_floats, to_pcm
from coda_voice_plugin.errors import EngineMissingError


def tone(rate, seconds=1.0, hertz=440):
    times = np.arange(int(rate * seconds)) / rate
    return to_pcm((0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32))


def loudest_hertz(clip):
    samples = to_floats(clip.pcm)
    return np.argmax(np.abs(np.fft.rfft(samples))) * clip.rate / len(samples)


def encode(path, container, codec, rate, layout):
    """Write a second of 440 Hz by PyAV alone, in formats that we only read."""
    mono = np.frombuffer(tone(rate), "<i2")
    channels = av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        samples = np.repeat(mono, channels)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.WAV"])
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]),
    samples=st.binary(min_size=2, max_size=6_000).map(lambda data: data[: len(data) & ~1]),
)
def test_lossless_files_give_back_the_same_bytes(tmp_path, name, rate, samples) -> None:
    write_audio(tmp_path / name, samples, rate)
    assert read_audio(tmp_path / name) == AudioClip(samples, rate)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.oga"])
def test_opus_gives_back_nearly_the_same_sound(tmp_path, name, rate) -> None:
    pcm = tone(rate, 1.0)
    write_audio(tmp_path / name, pcm, rate)
    sent, got = to_floats(pcm), to_floats(read_audio(tmp_path / name, rate).pcm)
    assert abs(len(got) - len(sent)) <= 1
    same = min(len(got), len(sent))
    assert np.corrcoef(sent[:same], got[:same])[0, 1] > 0.99
    assert got.std() == pytest.approx(sent.std(), rel=0.05)
    assert (tmp_path / name).stat().st_size < len(pcm)


def test_the_file_name_decides_the_container_and_the_format_where_it_does_not(tmp_path) -> None:
    write_audio(tmp_path / "a.flac", tone(16_000), 16_000, "wav")
    write_audio(tmp_path / "b", tone(16_000), 16_000, "ogg")
    assert (tmp_path / "a.flac").read_bytes()[:4] == b"fLaC"
    assert (tmp_path / "b").read_bytes()[:4] == b"OggS"


def test_sound_may_be_written_in_pieces_of_any_size(tmp_path) -> None:
    pcm = tone(16_000)
    write_audio(tmp_path / "a.wav", (pcm[at : at + 333] for at in range(0, len(pcm), 333)), 16_000)
    assert read_audio(tmp_path / "a.wav").pcm == pcm


def test_a_large_sound_is_written_whole(tmp_path) -> None:
    pcm = np.arange(3_000_000).astype("<i2").tobytes()
    write_audio(tmp_path / "a.flac", pcm, 48_000)
    assert read_audio(tmp_path / "a.flac").pcm == pcm


@pytest.mark.parametrize(
    ("container", "codec", "rate", "layout"),
    [
        ("wav", "pcm_s16le", 48_000, "stereo"),
        ("wav", "pcm_s24le", 44_100, "stereo"),
        ("wav", "pcm_mulaw", 8_000, "mono"),
        ("flac", "flac", 96_000, "5.1"),
        ("ogg", "libopus", 48_000, "stereo"),
        ("mp3", "libmp3lame", 44_100, "stereo"),
        ("webm", "libopus", 48_000, "stereo"),
    ],
)
def test_other_formats_rates_and_channels_are_read(
    tmp_path, container, codec, rate, layout
) -> None:
    path = encode(tmp_path / "sound", container, codec, rate, layout)
    own, wanted = read_audio(path), read_audio(path, 16_000)
    assert own.rate == rate
    assert wanted.rate == 16_000
    assert own.seconds == pytest.approx(1.0, abs=0.06)
    assert wanted.seconds == pytest.approx(own.seconds, abs=0.001)
    assert loudest_hertz(wanted) == pytest.approx(440, abs=2)
    level = to_floats(tone(rate)).std()
    assert to_floats(wanted.pcm).std() == pytest.approx(level, rel=0.1)


def test_two_channels_are_mixed_half_and_half(tmp_path) -> None:
    left, right = np.frombuffer(tone(16_000), "<i2"), np.zeros(16_000, "<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.stack([left, right], axis=1).tobytes())
    mixed = np.frombuffer(read_audio(tmp_path / "a.wav").pcm, "<i2")
    assert np.abs(mixed - left / 2).max() <= 1


def test_streaming_gives_blocks_of_the_asked_length_and_the_same_sound(tmp_path) -> None:
    path = encode(tmp_path / "sound", "wav", "pcm_s16le", 48_000, "stereo")
    blocks = list(stream_audio(path, 8_000, 30))
    assert {len(block) for block in blocks[:-1]} == {480}
    assert 0 < len(blocks[-1]) <= 480
    assert b"".join(blocks) == read_audio(path, 8_000).pcm


@pytest.mark.parametrize(("rate", "channels", "minutes"), [(8_000, 1, 20), (48_000, 2, 3)])
def test_a_long_file_is_streamed_in_constant_memory(tmp_path, rate, channels, minutes) -> None:
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, rate * 60 * minutes, "NONE", ""))
        file.writeframes(b"")
        header = path.stat().st_size
    with path.open("r+b") as file:  # a hole of silence: the sizes in the header are patched
        data = rate * 60 * minutes * channels * 2
        file.truncate(header + data)
        file.seek(4)
        file.write((header + data - 8).to_bytes(4, "little"))
        file.seek(header - 4)
        file.write(data.to_bytes(4, "little"))

    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    received, most, first = 0, 0, None
    for number, block in enumerate(stream_audio(path)):
        received += len(block)
        if number % 1_000 == 100:
            first = first or resident()
            most = max(most, resident())
    assert received == 16_000 * 60 * minutes * 2
    assert most - first < 3_000_000  # the whole sound has tens of megabytes


def refusal(path):
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    with pytest.raises(AudioError):
        list(stream_audio(path))
    return message


def test_a_missing_file_is_refused(tmp_path) -> None:
    assert "no such file" in refusal(tmp_path / "a.wav")


def test_a_folder_is_refused(tmp_path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path) -> None:
    (tmp_path / "a.wav").touch()
    assert "is empty" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_file_without_samples_is_refused(tmp_path, name) -> None:
    write_audio(tmp_path / name, b"", 16_000)
    assert (tmp_path / name).stat().st_size > 40
    refusal(tmp_path / name)


@pytest.mark.parametrize("content", [b"hello\n" * 50, bytes(range(256)) * 20, b"RIFF", b"\xff" * 9])
def test_what_is_not_sound_is_refused(tmp_path, content) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert "not an audio file" in refusal(tmp_path / "a.wav")


def test_a_playlist_does_not_open_other_files(tmp_path) -> None:
    write_audio(tmp_path / "a.wav", tone(16_000), 16_000)
    (tmp_path / "list.wav").write_text("ffconcat version 1.0\nfile a.wav\n")
    assert "not an audio file" in refusal(tmp_path / "list.wav")


def test_a_film_without_sound_is_refused(tmp_path) -> None:
    path = tmp_path / "film.webm"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    assert "holds no sound" in refusal(path)


def test_a_file_cut_inside_its_first_frame_is_refused(tmp_path) -> None:
    write_audio(tmp_path / "a.flac", tone(16_000, 5.0), 16_000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(content[: len(content) - 40])
    with pytest.raises(AudioError, match=r"b\.flac is damaged"):
        read_audio(tmp_path / "b.flac")


def test_a_pipe_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keep_open = os.open(tmp_path / "pipe", os.O_RDWR)
    assert "is a pipe" in refusal(tmp_path / "pipe")
    os.close(keep_open)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "a.wav").chmod(0)
    assert "permission denied" in refusal(tmp_path / "a.wav")


def test_a_name_with_a_colon_is_a_file_and_no_address(tmp_path) -> None:
    write_audio(tmp_path / "http:a.wav", tone(16_000), 16_000)
    assert read_audio(tmp_path / "http:a.wav").seconds == 1.0


@pytest.mark.parametrize(
    ("name", "format"), [("a.xyz", None), ("a.mp3", "wav"), ("a", None), ("a", "aiff")]
)
def test_an_unknown_container_is_refused(tmp_path, name, format) -> None:
    with pytest.raises(AudioError, match=r"use \.wav, \.flac, \.ogg"):
        write_audio(tmp_path / name, tone(16_000), 16_000, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"old")
    noise = np.random.default_rng(1).integers(-9_000, 9_000, 400_000).astype("<i2").tobytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, hard))
    try:
        with pytest.raises(AudioError, match=r"cannot write .*: file too large\."):
            write_audio(tmp_path / name, noise, 16_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"old")]


def test_a_missing_folder_is_an_error(tmp_path) -> None:
    with pytest.raises(AudioError, match="no such file or directory"):
        write_audio(tmp_path / "nowhere" / "a.wav", tone(16_000), 16_000)


def test_half_a_sample_and_an_impossible_rate_are_refused(tmp_path) -> None:
    with pytest.raises(AudioError, match="inside a sample"):
        write_audio(tmp_path / "a.wav", bytes(3), 16_000)
    with pytest.raises(AudioError, match="0 Hz"):
        write_audio(tmp_path / "a.wav", bytes(2), 0)
    assert list(tmp_path.iterdir()) == []


def test_blocks_must_hold_a_sample(tmp_path) -> None:
    write_audio(tmp_path / "a.wav", tone(16_000), 16_000)
    with pytest.raises(AudioError, match="0 ms"):
        next(stream_audio(tmp_path / "a.wav", block_ms=0))


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch) -> None:
    write_audio(tmp_path / "a.wav", tone(16_000), 16_000)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(EngineMissingError, match=r"coda-voice-plugin\[cpu\]"):
        write_audio(tmp_path / "b.wav", b"", 16_000)
