"""Sound files in and out, through FFmpeg's libraries (PyAV).

In: WAV, FLAC, OGG (Opus, Vorbis), MP3, WebM, and FFmpeg's other audio; any rate,
any number of channels (mixed down to one). Out: WAV, FLAC, OGG/Opus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from ..errors import AudioError, EngineMissingError
from ..events import MIC_RATE
from .pcm import to_floats, to_pcm
from .resample import RATES, Resampler

FORMATS = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libopus"}
"""Container we write: its codec."""

SUFFIXES = {".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".oga": "ogg", ".opus": "ogg"}

# Opus knows these rates only; others are written at the highest.
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
# Containers of sound alone: a playlist, which could name other files, is not opened.
_DEMUXERS = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,matroska,webm,mov,mp4,m4a"


@dataclass(frozen=True, slots=True)
class AudioClip:
    """A whole sound in memory: PCM16 mono little endian."""

    pcm: bytes
    rate: int
    """Hertz"""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate


def read_audio(path: str | PathLike[str], rate: int | None = None) -> AudioClip:
    """Read a whole sound file, at ``rate`` or at the file's own.

    Raises AudioError when it is missing, unreadable, empty, damaged or no sound.
    """
    with _opened(Path(path)) as sound:
        own: int = sound.stream.rate
        pcm = b"".join(_resampled(sound.pieces(), own, rate or own))
        return AudioClip(pcm, rate or own)


def stream_audio(
    path: str | PathLike[str], rate: int = MIC_RATE, block_ms: int = 20
) -> Iterator[bytes]:
    """Yield a sound file as PCM16 mono at ``rate``, in blocks of ``block_ms``.

    The last block may be shorter. Memory does not grow with the file. Raises
    AudioError as :func:`read_audio` does: when the first block is asked for, or
    where the damage is reached.
    """
    size = rate * block_ms // 1000 * 2
    if size <= 0:
        raise AudioError(f"blocks of {block_ms} ms are too short; ask for at least 1 ms.")
    with _opened(Path(path)) as sound:
        held = bytearray()
        for piece in _resampled(sound.pieces(), sound.stream.rate, rate):
            held += piece
            whole = len(held) // size * size
            for at in range(0, whole, size):
                yield bytes(held[at : at + size])
            del held[:whole]
        if held:
            yield bytes(held)


def write_audio(
    path: str | PathLike[str],
    pcm: bytes | Iterable[bytes],
    rate: int,
    format: str | None = None,
) -> None:
    """Write PCM16 mono sound as WAV, FLAC or OGG/Opus.

    The container follows the file name; ``format`` ("wav", "flac", "ogg") is for
    names without an extension. ``pcm`` may come in pieces. The file appears whole
    or not at all, and one that was there before is kept until then. Opus is
    written at 48 kHz where it does not know ``rate``. Raises AudioError.
    """
    path = Path(path)
    container = _container(path, format)
    pieces: Iterable[bytes] = [pcm] if isinstance(pcm, bytes) else pcm
    part = path.with_name(path.name + ".part")
    try:
        try:
            with part.open("wb") as file:
                _encode(file, container, pieces, rate)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (_av().FFmpegError, OSError) as error:
        # PyAV covers what the file raised (a full disk) by an error of its own.
        first = error.__context__ if isinstance(error.__context__, OSError) else error
        raise AudioError(f"cannot write {path}: {_reason(first)}.") from error


def _container(path: Path, format: str | None) -> str:
    suffix = path.suffix.lower()
    name = SUFFIXES.get(suffix) if suffix else format
    if name not in FORMATS:
        what = f"the extension {suffix!r} is" if suffix else f"no extension, and format {name!r} is"
        raise AudioError(f"cannot write {path}: {what} not known; use {', '.join(SUFFIXES)}.")
    return name


def _encode(file: IO[bytes], container: str, pieces: Iterable[bytes], rate: int) -> None:
    """Write all pieces as one stream of the container's codec."""
    av = _av()
    if rate not in RATES:
        raise AudioError(f"a sample rate of {rate} Hz is not {RATES[0]} to {RATES[-1]}.")
    out_rate = 48_000 if container == "ogg" and rate not in _OPUS_RATES else rate
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(FORMATS[container], rate=out_rate, layout="mono")
        output.start_encoding()  # the header, even if no sound follows
        written = 0
        for piece in _resampled(_whole_samples(pieces), rate, out_rate):
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
            frame.planes[0].update(piece)
            frame.sample_rate = out_rate
            frame.pts = written
            written += frame.samples
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _whole_samples(pieces: Iterable[bytes]) -> Iterator[bytes]:
    odd = b""
    for piece in pieces:
        data = odd + piece
        even = len(data) & ~1
        odd = data[even:]
        # A frame's size is a C int, and encoders take their frames from it.
        for at in range(0, even, 1 << 20):
            yield data[at : min(at + (1 << 20), even)]
    if odd:
        raise AudioError("the sound ends inside a sample: PCM16 has two bytes per sample.")


def _resampled(pieces: Iterable[bytes], rate: int, wanted: int) -> Iterator[bytes]:
    """Bring pieces of PCM16 to another rate; equal rates pass bit by bit."""
    if rate == wanted:
        yield from pieces
        return
    resampler = Resampler(rate, wanted)
    for piece in pieces:
        if pcm := to_pcm(resampler.push(to_floats(piece))):
            yield pcm
    if pcm := to_pcm(resampler.finish()):
        yield pcm


class _Sound:
    """An open file's first stream of sound."""

    def __init__(self, path: Path, container: Any) -> None:
        if not container.streams.audio:
            raise AudioError(f"{path} holds no sound.")
        self.path = path
        self.container = container
        self.stream = container.streams.audio[0]

    def pieces(self) -> Iterator[bytes]:
        """Yield the sound as PCM16 mono at its own rate; at least one sample."""
        av = _av()
        mono = av.AudioResampler(format="s16", layout="mono", rate=self.stream.rate)
        empty = True
        try:
            for frame in self.container.decode(self.stream):
                for piece in mono.resample(frame):
                    empty = False
                    yield bytes(piece.planes[0])[: piece.samples * 2]
            for piece in mono.resample(None):
                empty = False
                yield bytes(piece.planes[0])[: piece.samples * 2]
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(f"{self.path} is damaged: {_reason(error)}.") from error
        if empty:
            raise AudioError(f"{self.path} holds no sound: it has no samples.")


@contextmanager
def _opened(path: Path) -> Iterator[_Sound]:
    av = _av()
    try:
        # FFmpeg gets an open file, never a name: it would read "a:b.wav" as an address.
        file = path.open("rb")
    except OSError as error:
        raise AudioError(f"cannot read {path}: {_reason(error)}.") from error
    with file:
        if not file.seekable():
            raise AudioError(f"cannot read {path}: it is a pipe; save it as a file first.")
        if not file.read(1):
            raise AudioError(f"{path} is empty.")
        file.seek(0)
        try:
            container = av.open(file, options={"format_whitelist": _DEMUXERS})
        except (av.FFmpegError, OSError) as error:
            raise AudioError(f"{path} is not an audio file, or it is damaged.") from error
        with container:
            yield _Sound(path, container)


def _reason(error: BaseException) -> str:
    """What the system or FFmpeg says, without numbers and addresses."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:].rstrip(".")


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise EngineMissingError("audio files", "av", "cpu") from error
    return av
