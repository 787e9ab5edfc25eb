"""Strategies that listen to raw sound and speak whenever they like, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest
from virtual import run_virtual
from world import WINDOW, Listener, User, World, config

from coda_voice_plugin import (
    AudioFrame,
    Call,
    Heard,
    Host,
    Need,
    Pause,
    PluginError,
    Resumed,
    SpeechEnded,
    SpeechStarted,
    Strategy,
    Transcript,
    Turn,
    Utterance,
    VoiceConfig,
    VoiceError,
    Word,
)
from coda_voice_plugin.events import Flush, ServerEvent, Speech, Stop, TurnEnded, Typed, UserSpeech
from coda_voice_plugin.host import Hearing, needs_of

Scene = Callable[[User, Listener], Awaitable[None]]
RATE = 24_000
CHUNK = np.full(1_920, 3_000, "<i2").tobytes()
"""80 ms at 24 kHz: what Moshi gives in one step."""
SPEECH_24K = {"audio": {"sample_rate": RATE, "chunk_size": 960}}


class Duplex(Strategy):
    """Runs what a test gives it beside reading what the user does."""

    name = "duplex"
    needs = ("turns",)

    def __init__(self, speaks: Callable[[Call], Awaitable[None]] | None = None) -> None:
        self.heard: list[tuple[float, Heard]] = []
        self.speaks = speaks

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self.speaks is not None:
                tasks.create_task(self.speaks(call))
            async for heard in call.hear():
                self.heard.append((asyncio.get_running_loop().time(), heard))

    def kinds(self) -> list[type]:
        return [type(heard) for _, heard in self.heard]


class Listening(Duplex):
    name = "listening"
    needs = ("stt",)


def play(world: World, scene: Scene, listener: Listener | None = None) -> Listener:
    """Run one session while ``scene`` happens; the user hangs up at its end."""
    heard = listener or Listener()

    async def run() -> None:
        session = world.session(heard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            await scene(User(session), heard)
            session.close()

    run_virtual(run())
    return heard


class Silent(Listener):
    """Never says where it stopped."""

    async def send(self, event: ServerEvent) -> None:
        if not isinstance(event, Flush):
            await super().send(event)


def turns(listener: Listener) -> list[Turn]:
    return [event.turn for event in listener.of(TurnEnded)]


async def until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())


# What a strategy needs


class Changing(Duplex):
    needs = ("turns",)

    @classmethod
    def needs_for(cls, config: VoiceConfig) -> tuple[Need, ...]:
        return ("stt",) if config.moshi.transcribe else ()


def test_needs_may_depend_on_the_settings() -> None:
    assert World(Changing()).host.needs == frozenset()
    assert World(Changing(), config(moshi={"transcribe": True})).host.needs == {"stt", "turns"}
    assert World(Duplex()).host.needs == {"turns"}


def test_an_unknown_need_is_told_by_name() -> None:
    class Typo(Duplex):
        needs = ("turn",)

    with pytest.raises(PluginError, match=r"'duplex' needs 'turn'; .*stt, tts, llm, turns"):
        needs_of(Typo, config())


def test_who_needs_nothing_hears_sound_and_no_events() -> None:
    strategy = Changing()

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(3)
        await user.silence(2)

    heard = play(World(strategy), scene)
    assert strategy.heard == []
    assert not heard.of(UserSpeech)


# Turns without words


async def two_turns(user: User, listener: Listener) -> None:
    await user.speak(3)
    await user.silence(0.35)
    await user.speak(1)
    await user.silence(1.5)
    await user.speak(2)
    await user.silence(1.5)


def test_turns_are_told_without_a_recogniser() -> None:
    strategy = Duplex()
    world = World(strategy)
    world.stt.failures = 100  # asked once, it would be heard of
    heard = play(world, two_turns)
    assert strategy.kinds() == [
        *(SpeechStarted, Pause, Resumed, Pause, SpeechEnded),
        *(SpeechStarted, Pause, SpeechEnded),
    ]
    assert {h.text for _, h in strategy.heard if isinstance(h, Pause)} == {""}
    assert [event.active for event in heard.of(UserSpeech)] == [True, False, True, False]
    assert world.stt.failures == 100


def test_the_end_of_speech_is_told_when_the_turn_is_confirmed_and_not_at_the_pause() -> None:
    strategy = Duplex()
    play(World(strategy), two_turns)
    pauses = [(at, h.at) for at, h in strategy.heard if isinstance(h, Pause)]
    ends = [(at, h.at) for at, h in strategy.heard if isinstance(h, SpeechEnded)]
    window = WINDOW / 16_000
    for (told, at), (ended, end) in zip(pauses[1:], ends, strict=True):
        assert end == at  # where the speech ended
        # unsure_ms 480 after it, and 160 for the pause, to a window of the scripted sound
        assert ended - told == pytest.approx(0.48 - 0.16, abs=1.5 * window)


@pytest.mark.parametrize(("probability", "patience_s"), [(0.9, 0.48), (0.02, 1.4)])
def test_the_melody_alone_judges_the_pause(
    monkeypatch: pytest.MonkeyPatch, probability: float, patience_s: float
) -> None:
    strategy = Duplex()
    asked: list[int] = []

    async def melody(hearing: Hearing, samples: np.ndarray) -> float:
        asked.append(len(samples))
        return probability

    monkeypatch.setattr(Hearing, "turn_probability", melody)
    play(World(strategy), two_turns)
    assert len(asked) == 3  # once for each pause
    told = [at for at, h in strategy.heard if isinstance(h, Pause)][-1]
    ended = [at for at, h in strategy.heard if isinstance(h, SpeechEnded)][-1]
    assert ended - told == pytest.approx(patience_s - 0.16, abs=0.05)


@pytest.mark.parametrize("strategy", [Duplex(), Listening()], ids=["turns", "stt"])
def test_each_beginning_has_its_end_even_when_the_recogniser_fails(strategy: Duplex) -> None:
    strategy.heard.clear()
    world = World(strategy)
    world.stt.failures = 1

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.3)  # here it fails, in mid-utterance
        await user.speak(2)
        await user.silence(1.5)

    heard = play(world, scene)
    assert strategy.kinds().count(SpeechStarted) == strategy.kinds().count(SpeechEnded) == 1
    assert [event.active for event in heard.of(UserSpeech)] == [True, False]
    started, ended = (
        next(at for at, h in strategy.heard if isinstance(h, kind))
        for kind in (SpeechStarted, SpeechEnded)
    )
    assert ended - started > 1.5


def test_words_bring_turns_with_them() -> None:
    strategy = Listening()
    play(World(strategy), two_turns)
    kinds = [kind for kind in strategy.kinds() if kind is not Transcript]
    assert kinds[-4:] == [SpeechStarted, Pause, SpeechEnded, Utterance]


# The microphone at a rate of the strategy's own


class Recorder(Strategy):
    name = "recorder"
    mic_rate = RATE

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []

    async def converse(self, call: Call) -> None:
        assert call.mic_rate == RATE
        async for frame in call.mic:
            self.frames.append(frame)


def test_the_microphone_has_the_rate_that_the_strategy_names() -> None:
    strategy = Recorder()

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(0.32)

    play(World(strategy), scene)
    frames = strategy.frames
    assert {frame.rate for frame in frames} == {RATE}
    assert {frame.samples for frame in frames} == {480}
    assert all(a.end == b.start for a, b in pairwise(frames))
    assert frames[-1].end == pytest.approx(RATE * 0.96, abs=480)
    levels = np.frombuffer(b"".join(frame.pcm for frame in frames), "<i2") / 32_768
    assert np.allclose(levels[: 10 * 768], 0.1, atol=1e-4)
    assert np.allclose(levels[10 * 768 : 20 * 768], 0.101, atol=1e-4)


class LateRate(Recorder):
    mic_rate = 16_000

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        self.mic_rate = RATE  # what the model that was loaded wants
        yield


def test_the_rate_may_be_known_only_when_the_strategy_is_open() -> None:
    strategy = LateRate()
    world = World(strategy)
    heard = Listener()

    async def run() -> None:
        async with strategy.open(world.host), asyncio.TaskGroup() as tasks:
            session = world.session(heard)
            tasks.create_task(session.run())
            await User(session).silence(0.32)
            session.close()

    run_virtual(run())
    assert {frame.rate for frame in strategy.frames} == {RATE}


# Interruptions


async def chatter(call: Call, *, chunks: int = 60) -> None:
    async with call.reply() as reply:
        for _ in range(chunks):
            await reply.play(CHUNK)
            await asyncio.sleep(0.08)


async def yielding_by_itself(call: Call) -> None:
    call.barge_in = False
    await chatter(call)


async def interrupting(user: User, listener: Listener) -> None:
    await user.silence(1)
    await user.speak(3)
    await user.silence(5)


def test_speech_of_the_user_cuts_a_reply_also_without_a_recogniser() -> None:
    heard = play(World(Duplex(chatter), config(**SPEECH_24K)), interrupting)
    (flush,) = [at for at, event in heard.events if isinstance(event, Flush)]
    assert 1.1 < flush < 1.5


def test_a_strategy_that_yields_by_itself_is_not_cut_by_speech() -> None:
    heard = play(World(Duplex(yielding_by_itself), config(**SPEECH_24K)), interrupting)
    assert not heard.of(Flush)
    assert heard.received == {1: 60 * 1_920}


@pytest.mark.parametrize("event", [Stop(), Typed("Wait.")])
def test_what_the_client_asks_for_cuts_it_all_the_same(event: Stop | Typed) -> None:
    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        user.does(event)
        await user.silence(3)

    heard = play(World(Duplex(yielding_by_itself), config(**SPEECH_24K)), scene)
    assert len(heard.of(Flush)) == 1


def test_who_makes_the_sound_outside_of_the_block_is_told_of_the_cut_at_once() -> None:
    told: list[float] = []
    played: list[float] = []

    async def speaks(call: Call) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            opened: asyncio.Future = loop.create_future()

            async def hold() -> None:
                async with call.reply() as reply:
                    reply.on_cut = lambda: told.append(loop.time())
                    opened.set_result(reply)
                    await asyncio.Event().wait()

            tasks.create_task(hold())
            reply = await opened
            # sound that nobody takes any more must not make its maker wait for ever
            for _ in range(200):
                await reply.play(CHUNK)
            played.append(loop.time())

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(1)
        user.does(Stop())
        await user.silence(3)

    heard = play(World(Duplex(speaks), config(**SPEECH_24K)), scene)
    (flush,) = [at for at, event in heard.events if isinstance(event, Flush)]
    assert told == [flush]
    assert played == told
    assert heard.of(Speech)[-1].turn == 1
    assert [at for at, event in heard.events if isinstance(event, Speech) and at > flush] == []


def test_a_reply_that_is_heard_to_its_end_is_not_told_of_a_cut() -> None:
    told: list[str] = []

    async def speaks(call: Call) -> None:
        async with call.reply() as reply:
            reply.on_cut = lambda: told.append("cut")
            await reply.play(CHUNK)

    async def scene(user: User, listener: Listener) -> None:
        await user.silence(2)

    play(World(Duplex(speaks), config(**SPEECH_24K)), scene)
    assert told == []


# Words that are known after the answer has begun

HELLO = (Word("Hello.", 0, 1_920),)


def said(text: str, moment: float, *, start: int = 0, end: int = 16_000) -> Utterance:
    return Utterance(text, start, end, moment=moment, timings_ms={"endpoint": 480.0})


def answering(*later: Utterance, close_after: float = 1.0) -> Callable[[Call], Awaitable[None]]:
    """Speak at second 1, and learn at second 1.5 what was answered."""

    async def speaks(call: Call) -> None:
        await until(1.0)
        async with call.reply() as reply:
            await reply.play(CHUNK, HELLO)
            await until(1.5)
            for utterance in later:
                reply.answers(utterance)
            await until(1.0 + close_after)

    return speaks


async def quiet(user: User, listener: Listener) -> None:
    await user.silence(4)


def test_what_a_reply_answers_may_be_told_later() -> None:
    world = World(Duplex(answering(said("Hi Moshi.", 0.8))), config(**SPEECH_24K))
    (turn,) = turns(play(world, quiet))
    assert (turn.user, turn.assistant, turn.generated) == ("Hi Moshi.", "Hello.", "Hello.")
    assert turn.timings_ms["first_audio"] == pytest.approx(200, abs=1)
    assert turn.timings_ms["endpoint"] == 480.0
    assert turn.spoken_ms == 1_000
    assert world.store.turns_kept == [turn]


def test_without_it_the_turn_has_no_user() -> None:
    (turn,) = turns(play(World(Duplex(answering()), config(**SPEECH_24K)), quiet))
    assert (turn.user, turn.assistant) == ("", "Hello.")
    assert turn.timings_ms["first_audio"] == pytest.approx(0, abs=1)


def test_words_that_come_during_the_same_answer_are_added_to_its_turn() -> None:
    later = (said("Hi Moshi.", 0.8), said("Uh-huh.", 1.4, start=20_000, end=24_000))
    (turn,) = turns(play(World(Duplex(answering(*later)), config(**SPEECH_24K)), quiet))
    assert turn.user == "Hi Moshi. Uh-huh."
    assert turn.timings_ms["first_audio"] == pytest.approx(200, abs=1)
    assert turn.spoken_ms == 1_250


def test_an_answer_may_begin_before_the_user_has_ended() -> None:
    world = World(Duplex(answering(said("Hi Moshi.", 1.2))), config(**SPEECH_24K))
    (turn,) = turns(play(world, quiet))
    assert turn.timings_ms["first_audio"] == pytest.approx(-200, abs=1)


def test_a_reply_that_is_over_takes_no_words_any_more() -> None:
    caught: list[VoiceError] = []

    async def speaks(call: Call) -> None:
        async with call.reply() as reply:
            await reply.play(CHUNK, HELLO)
        try:
            reply.answers(said("Too late.", 0.0))
        except VoiceError as error:
            caught.append(error)

    (turn,) = turns(play(World(Duplex(speaks), config(**SPEECH_24K)), quiet))
    assert turn.user == ""
    assert "reply 1 is over" in str(caught[0])


def test_what_it_answers_is_kept_when_it_is_told_before_the_reply_has_the_floor() -> None:
    async def speaks(call: Call) -> None:
        reply = call.reply()
        reply.answers(said("Early.", 0.0))
        async with reply:
            await reply.play(CHUNK, HELLO)

    (turn,) = turns(play(World(Duplex(speaks), config(**SPEECH_24K)), quiet))
    assert turn.user == "Early."


def test_what_it_answers_is_kept_when_it_is_told_while_the_reply_waits_for_the_floor() -> None:
    async def speaks(call: Call) -> None:
        async def first() -> None:
            async with call.reply() as reply:
                await reply.play(20 * CHUNK, HELLO)
                await asyncio.Event().wait()

        async def second() -> None:
            await asyncio.sleep(0.5)
            async with reply:
                await reply.play(CHUNK, HELLO)

        reply = call.reply()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first())
            tasks.create_task(second())
            # the client is still asked where the first one stopped
            await asyncio.sleep(0.6)
            assert not reply.is_released
            reply.answers(said("Meanwhile.", 0.0))

    listener = Silent(reports=True)
    first, second = turns(play(World(Duplex(speaks), config(**SPEECH_24K)), quiet, listener))
    assert first.interrupted
    assert second.user == "Meanwhile."


@pytest.mark.parametrize("hung_up", [False, True])
def test_a_reply_that_says_nothing_records_words_that_nobody_answered(hung_up: bool) -> None:
    class Late(Strategy):
        name = "late"
        needs = ("turns",)

        async def converse(self, call: Call) -> None:
            if hung_up:
                async for _ in call.hear():
                    pass
            async with call.reply(said("Is anybody there?", 0.2)):
                pass
            async for _ in call.hear():
                pass

    world = World(Late(), config(**SPEECH_24K))
    heard = play(world, quiet)
    (turn,) = turns(heard)
    assert (turn.user, turn.assistant, turn.interrupted) == ("Is anybody there?", "", False)
    assert world.store.turns_kept == [turn]
    assert not heard.of(Speech)


def test_words_whose_answer_was_cut_unheard_go_into_the_next_utterance() -> None:
    class Hasty(Strategy):
        name = "hasty"
        needs = ("stt",)

        async def converse(self, call: Call) -> None:
            utterances = aiter(call.utterances())
            first = await anext(utterances)
            async with call.reply() as reply:
                reply.answers(first)
                await asyncio.Event().wait()  # cut before a sound of it
            async for utterance in utterances:
                async with call.reply(utterance) as reply:
                    await reply.play(CHUNK, HELLO)

    async def scene(user: User, listener: Listener) -> None:
        await user.speak(2)
        await user.silence(1)
        await user.speak(1)
        await user.silence(2)

    (turn,) = turns(play(World(Hasty(), config(**SPEECH_24K)), scene))
    assert turn.user == "u0 u1 u2"


# Sound in real time


def steps(moments: list[float]) -> Callable[[Call], Awaitable[None]]:
    """Play 80 ms at each of these moments, as a model does that speaks step by step."""

    async def speaks(call: Call) -> None:
        async with call.reply() as reply:
            for moment in moments:
                await until(moment)
                await reply.play(CHUNK)

    return speaks


def sent(listener: Listener) -> list[tuple[float, AudioFrame]]:
    return [(at, event.frame) for at, event in listener.events if isinstance(event, Speech)]


@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("size", [480, 960, 1_000, 1_920, 2_400, 9_600])
def test_sound_in_steps_leaves_at_once_whatever_the_size_of_a_frame(
    size: int, reports: bool
) -> None:
    moments = [1.0 + 0.08 * n for n in range(50)]
    world = World(Duplex(steps(moments)), config(audio={"sample_rate": RATE, "chunk_size": size}))
    heard = play(world, lambda user, listener: user.silence(7), Listener(reports=reports))
    frames = sent(heard)
    assert sum(frame.samples for _, frame in frames) == 50 * 1_920
    for at, frame in frames:
        assert at == pytest.approx(moments[frame.start // 1_920], abs=1e-6)


def test_a_step_that_comes_late_leaves_at_once_and_positions_go_on() -> None:
    moments = [1.0 + 0.08 * n + (0.1 if n >= 25 else 0.0) for n in range(50)]
    positions: list[tuple[int, int]] = []

    async def speaks(call: Call) -> None:
        async with call.reply() as reply:
            for moment in moments:
                await until(moment)
                now = asyncio.get_running_loop().time()
                # all before it is heard, except what the lead of one step may hold
                positions.append((reply.playback.sent, reply.playback.position(now)))
                await reply.play(CHUNK)

    heard = play(
        World(Duplex(speaks), config(**SPEECH_24K)), lambda user, listener: user.silence(7)
    )
    frames = [frame for _, frame in sent(heard)]
    assert all(a.end == b.start for a, b in pairwise(frames))
    assert [at for at, frame in sent(heard) if frame.start % 1_920 == 0] == pytest.approx(moments)
    assert all(0 <= sent_ - position <= 1 for sent_, position in positions)


def test_steps_that_were_held_up_leave_together_up_to_the_lead() -> None:
    # 400 ms without a step, then five at once
    moments = [1.0 + 0.08 * n for n in range(10)] + [2.2] * 5 + [2.28 + 0.08 * n for n in range(5)]
    heard = play(
        World(Duplex(steps(moments)), config(**SPEECH_24K)),
        lambda user, listener: user.silence(7),
    )
    late = [at for at, frame in sent(heard) if 10 * 1_920 <= frame.start < 15 * 1_920]
    assert late[:6] == pytest.approx([2.2] * 6)  # a lead of 200 ms, and the frame that exceeds it
    assert late[6:] == pytest.approx([2.24, 2.28, 2.32, 2.36])
    assert heard.received == {1: 20 * 1_920}
