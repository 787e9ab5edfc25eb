"""Every event of coda.voice.v1, made by hypothesis; what comes of it can go over the wire."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from coda_voice_plugin.events import (
    AudioFrame,
    Caption,
    Flush,
    Held,
    Hello,
    Mute,
    Notice,
    Ping,
    Played,
    Pong,
    Problem,
    SessionReady,
    Speech,
    SpeechEnd,
    Stage,
    StateChanged,
    Stop,
    Subscribe,
    TalkKey,
    Turn,
    TurnEnded,
    Typed,
    UseMode,
    UseModel,
    UserSpeech,
    UserText,
    Word,
)
from coda_voice_plugin.wire.voice_table import EVENT_TYPES

RATE = 24_000
counts = st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(-1e15, 1e15)
durations = st.floats(0, 1e15)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
codings = st.sampled_from(["pcm16", "opus"])
modes = st.sampled_from(["full_duplex", "turn_based", "push_to_talk"])
types = st.none() | st.lists(st.sampled_from(EVENT_TYPES), max_size=6).map(tuple)
pcm = st.binary(min_size=2, max_size=64).map(lambda b: b[: len(b) & ~1])
words = st.builds(Word, texts, counts, counts)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
turns = st.builds(
    Turn,
    index=counts,
    user=texts,
    assistant=texts,
    generated=texts,
    interrupted=st.booleans(),
    error=st.none() | texts,
    typed=st.booleans(),
    timings_ms=st.dictionaries(texts, numbers, max_size=5),
    strategy=texts,
    stt=texts,
    llm=texts,
    tts=texts,
    heard_ms=numbers,
    spoken_ms=numbers,
)


def _possible(hello: Hello) -> Hello:
    """``hello`` within the rules that bind its fields."""
    rate = 48_000 if hello.input == "opus" else hello.rate
    token = hello.token if hello.session is not None else None
    return replace(hello, rate=rate, token=token)


hellos = st.builds(
    Hello,
    st.integers(8_000, 96_000),
    st.booleans(),
    session=st.none() | names,
    resume=st.booleans(),
    token=st.none() | texts,
    received=st.none() | counts,
    input=codings,
    output=st.lists(codings, min_size=1, max_size=3).map(tuple),
    events=types,
).map(_possible)
server_events = {
    SessionReady: st.builds(
        SessionReady,
        *[texts] * 5,
        input_rate=st.integers(1, 96_000),
        output_rate=st.just(RATE),
        token=st.none() | texts,
        lease_s=durations,
        resumed=st.sampled_from(["no", "live", "stored"]),
        heard=counts,
        missed=counts,
        input=codings,
        output=codings,
        mode=modes,
    ),
    UserSpeech: st.builds(UserSpeech, st.booleans()),
    UserText: st.builds(UserText, texts, st.booleans()),
    StateChanged: st.builds(StateChanged, st.sampled_from(["listening", "thinking", "speaking"])),
    Caption: st.builds(Caption, counts, st.lists(words, max_size=4).map(tuple)),
    Speech: st.builds(Speech, counts, st.builds(AudioFrame, pcm, st.just(RATE), counts)),
    SpeechEnd: st.builds(SpeechEnd, counts, counts),
    Held: st.builds(Held, counts, st.booleans()),
    Flush: st.builds(Flush, counts),
    TurnEnded: st.builds(TurnEnded, turns),
    Problem: st.builds(Problem, texts, texts, st.booleans()),
    Notice: st.builds(Notice, texts, st.dictionaries(texts, json_values, max_size=3)),
    Stage: st.builds(Stage, counts, texts, numbers),
    Pong: st.builds(Pong, counts, counts),
}
client_events = {
    Hello: hellos,
    AudioFrame: st.builds(AudioFrame, pcm, st.just(RATE)),
    Played: st.builds(Played, counts, counts, st.booleans()),
    Stop: st.builds(Stop),
    Typed: st.builds(Typed, texts.filter(lambda text: text.strip() != "")),
    TalkKey: st.builds(TalkKey, st.booleans()),
    UseModel: st.builds(UseModel, texts.filter(lambda name: name.strip() != "")),
    UseMode: st.builds(UseMode, modes),
    Mute: st.builds(Mute, st.booleans()),
    Subscribe: st.builds(Subscribe, types),
    Ping: st.builds(Ping, counts, st.none() | durations),
}
