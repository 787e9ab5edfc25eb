"""Kyutai's recogniser when its server is gone, full, wrong or silent; what is kept for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import numpy as np
import pytest
from kyutai_channel import Fault
from kyutai_ear import ALL, at_24k, config, ear, live, loudness, spoken, virtual
from kyutai_server import KyutaiServer

from coda_voice_plugin import (
    MIC_RATE,
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineTimeoutError,
    VoiceConfig,
)
from coda_voice_plugin.engines.kyutai import tape as tape_module
from coda_voice_plugin.engines.kyutai.remote_stt import ANSWER_S, RemoteKyutaiSTT
from coda_voice_plugin.engines.kyutai.tape import TAIL, Frame, Tape
from coda_voice_plugin.wire.kyutai import FRAME, HeardWord, Marker, Step, WordEnd

# Lost connections.


@pytest.mark.parametrize("drop_after", range(0, 44, 3))
def test_an_utterance_survives_its_connection(drop_after: int) -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.02)
        async with ear(server) as listen:
            server.faults.append(Fault(drop_after=drop_after))
            recognition = listen()
            await live(recognition, sound := spoken(*range(4)))
            assert await recognition.text(final=True) == "red green blue white"
            dropped, last = server.channels
            assert dropped.heard or not drop_after, "the first connection was in use"
            expected = at_24k(sound)
            assert np.array_equal(last.sound[: len(expected)], expected)

    virtual(main)


def test_what_was_final_is_not_said_again() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            recognition = listen()
            recognition.accept(spoken(0, 1))
            assert await recognition.text(final=True) == "red green"
            await server.stop()
            await server.start()
            await asyncio.sleep(1)
            assert len(server.channels) == 1, "nobody needs a place now"
            recognition.accept(more := spoken(2))
            assert await recognition.text(final=True) == "red green blue"
            assert len(loudness(server.channels[1])) < len(at_24k(more)) + FRAME
            assert abs(recognition.words[2].start - len(spoken(0, 1)) - 2560) <= 1280

    virtual(main)


def test_a_server_that_ends_a_connection_with_its_marker_is_called_again() -> None:
    async def main() -> None:
        server = KyutaiServer()
        server.ends_with_marker = True
        async with ear(server) as listen:
            recognition = listen()
            recognition.accept(spoken(0, 1))
            assert await recognition.text(final=True) == "red green"
            for channel in server.channels:
                channel.say(None)
            recognition.accept(spoken(2))
            assert await recognition.text(final=True) == "red green blue"
            assert len(server.channels) == 2

    virtual(main)


@pytest.mark.parametrize(("away_s", "comes_back"), [(1.0, True), (3.0, False)])
def test_a_server_may_restart_within_the_time_for_that(away_s: float, comes_back: bool) -> None:
    async def main() -> None:
        server = KyutaiServer(step_s=0.01)
        async with ear(server, reconnect_ms=2_000) as listen:
            recognition = listen()
            sound = spoken(*range(8))
            await live(recognition, sound[:20_000])
            await server.stop()
            recognition.accept(sound[20_000:])
            await asyncio.sleep(away_s)
            await server.start()
            if comes_back:
                assert await recognition.text(final=True) == ALL
            else:
                with pytest.raises(EngineDownError, match="stt_url"):
                    await recognition.text(final=True)
                with pytest.raises(EngineDownError):
                    await recognition.text(final=False)
            next_one = listen()
            next_one.accept(spoken(7))
            assert await next_one.text(final=True) == "orange"

    virtual(main)


def test_a_server_that_always_breaks_off_is_given_up() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with ear(server) as listen:
            server.faults = deque(Fault(drop_after=3) for _ in range(100))
            recognition = listen()
            recognition.accept(spoken(0))
            with pytest.raises(EngineDownError, match="lost"):
                await recognition.text(final=True)
            assert 2 <= len(server.channels) <= 5

    virtual(main)


def test_without_time_to_reconnect_a_loss_is_told_at_once() -> None:
    async def main() -> None:
        async with ear(server := KyutaiServer(), reconnect_ms=0) as listen:
            server.faults.append(Fault(drop_after=3))
            recognition = listen()
            recognition.accept(spoken(0, 1))
            with pytest.raises(EngineDownError):
                await recognition.text(final=True)
            assert asyncio.get_running_loop().time() < 0.2

    virtual(main)


# Faults of the server.


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(silent=True), EngineTimeoutError, "batch_size"),
        (Fault(stall_after=9), EngineTimeoutError, "kept us waiting"),
        (Fault(garbage=b"\xc1\xc1"), EngineGarbledError, "stt_url"),
        (Fault(garbage=b"\x81\xa4type\xa4Word"), EngineGarbledError, "stt_url"),
        (Fault(garbage="hello"), EngineGarbledError, "text message"),
        (Fault(error="model\nbroke down."), EngineError, "reports: model broke down"),
        (Fault(close_after=4, close_code=1008), EngineDownError, "1008"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_fault_is_a_typed_error_in_one_line(fault, kind, says) -> None:
    async def main() -> float:
        server = KyutaiServer()
        async with ear(server) as listen:
            server.faults = deque([fault] * 9)
            recognition = listen()
            recognition.accept(spoken(0, 1))
            with pytest.raises(kind, match=says) as error:
                await recognition.text(final=True)
            assert type(error.value) is kind
            assert "\n" not in str(error.value)
            return asyncio.get_running_loop().time()

    took = virtual(main)
    assert took < ANSWER_S + 3
    assert kind is not EngineTimeoutError or took >= ANSWER_S


def test_a_full_server_is_asked_again_and_then_named() -> None:
    async def main() -> None:
        server = KyutaiServer()
        server.places = 1
        async with ear(server, reconnect_ms=1_000) as listen:
            first, second, third = listen(), listen(), listen()
            first.accept(spoken(0))
            await first.text(final=True)
            second.accept(spoken(1))
            with pytest.raises(EngineError, match=r"all places .* batch_size") as error:
                await second.text(final=True)
            assert not isinstance(error.value, EngineDownError | EngineTimeoutError)
            third.accept(spoken(2))
            asyncio.get_running_loop().call_later(0.5, first.close)
            assert await third.text(final=True) == "blue"

    virtual(main)


async def _locked(server: KyutaiServer) -> None:
    server.keys = {"secret"}


async def _gone(server: KyutaiServer) -> None:
    await server.stop()


async def _elsewhere(server: KyutaiServer) -> None:
    server.stt_url = server.stt_url.replace("asr-streaming", "nothing")


async def _asleep(server: KyutaiServer) -> None:
    server.late_s = 60


@pytest.mark.parametrize(
    ("before", "kind", "says"),
    [
        (_locked, EngineError, "kyutai.api_key"),
        (_gone, EngineDownError, "start moshi-server"),
        (_elsewhere, EngineGarbledError, "404"),
        (_asleep, EngineTimeoutError, "handshake"),
    ],
)
def test_a_wrong_address_or_key_is_told_when_the_engine_is_opened(before, kind, says) -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with server.open():
            await before(server)
            with pytest.raises(kind, match=says) as error:
                async with RemoteKyutaiSTT(config(server)).open():
                    pass
            assert type(error.value) is kind

    virtual(main)


def test_a_full_server_is_no_reason_not_to_start() -> None:
    async def main() -> None:
        server = KyutaiServer()
        server.places = 0
        async with ear(server):
            assert server.taken == 0

    virtual(main)


def test_a_password_in_the_address_is_not_told() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with server.open():
            server.stt_url = server.stt_url.replace("ws://", "ws://me:hush@") + "?auth_id=hush"
            await server.stop()
            engine = RemoteKyutaiSTT(config(server))
            with pytest.raises(EngineDownError) as error:
                async with engine.open():
                    pass
            assert "hush" not in str(error.value) + engine.label

    virtual(main)


def test_an_engine_that_is_not_open_says_so() -> None:
    with pytest.raises(EngineError, match="not open"):
        RemoteKyutaiSTT(VoiceConfig()).listen()


def test_an_error_of_the_caller_comes_out_as_itself() -> None:
    async def caller(server: KyutaiServer) -> None:
        async with RemoteKyutaiSTT(config(server)).open() as stt:
            stt.listen().accept(spoken(0))
            raise KeyError("mine")

    async def main() -> None:
        async with (server := KyutaiServer()).open():
            with pytest.raises(KeyError, match="mine"):
                await caller(server)

    virtual(main)


async def test_an_engine_without_an_address_says_so() -> None:
    with pytest.raises(EngineError, match="stt_url"):
        async with RemoteKyutaiSTT(VoiceConfig()).open():
            pass


def test_closing_the_engine_ends_a_wait_for_words() -> None:
    async def main() -> None:
        server = KyutaiServer()
        async with asyncio.TaskGroup() as tasks, ear(server) as listen:
            server.faults.append(Fault(silent=True))
            recognition = listen()
            recognition.accept(spoken(0))

            async def ask() -> None:
                with pytest.raises(EngineError, match="closed"):
                    await recognition.text(final=True)

            tasks.create_task(ask())
            await asyncio.sleep(0.5)

        assert asyncio.get_running_loop().time() < 1

    virtual(main)


# The tape alone.


def sent(tape: Tape) -> list[Any]:
    return list(iter(tape.next, None))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_module, "KEPT_S", 2)
    tape = Tape()
    for second in range(5):
        tape.push(np.full(MIC_RATE, 0.1 * (1 + second), np.float32))
        sent(tape)
        tape.heard(HeardWord(f"w{second}", second + 0.2))
        tape.ended(WordEnd(second + 0.4))
    tape.rewind()
    again = [item for item in sent(tape) if isinstance(item, Frame)]
    assert 1.9 * 24_000 < sum(item.length for item in again) <= 2 * 24_000
    assert again[0].begin >= 2.9 * 24_000
    # the words of the sound that cannot be sent again are kept, the others come again
    assert tape.text == "w0 w1 w2"
    tape.heard(HeardWord("w3", 0.3))
    assert abs(tape.words[3].start - 3.3 * MIC_RATE) < 0.15 * MIC_RATE


def test_an_answer_to_nobodys_marker_changes_nothing() -> None:
    tape = Tape()
    tape.push(np.zeros(MIC_RATE, np.float32))
    assert tape.mark() == 1
    sent(tape)
    assert not tape.answered(Marker(7))
    assert tape.pending == {1}
    assert tape.answered(Marker(1))
    assert not tape.answered(Marker(1))
    assert not tape.wanted


def test_silence_is_added_only_while_a_marker_waits() -> None:
    tape = Tape()
    tape.push(np.zeros(MIC_RATE, np.float32))
    sent(tape)
    tape.fill(blindly=True)
    assert not sent(tape), "no marker waits"
    tape.mark()
    sent(tape)
    tape.stepped(Step(0, ()))
    tape.fill(blindly=True)
    assert not sent(tape), "enough is under way, and steps are told"
    while tape.under_way >= TAIL:
        tape.stepped(Step(0, ()))
    tape.fill()
    assert len(sent(tape)) == 1
    for _ in range(500):
        sent(tape)
        tape.fill()
        tape.stepped(Step(0, ()))
    assert tape.under_way == 0, "there is an end to it"
    tape.answered(Marker(1))
    tape.fill(blindly=True)
    assert not sent(tape)
