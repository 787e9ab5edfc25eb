"""What a client that comes back is sent again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin import WireError
from coda_voice_plugin.server.outbox import KEPT_BYTES, Message, Outbox
from coda_voice_plugin.wire.voice import HEADER


def sound(turn: int, start: int, samples: int) -> Message:
    pcm = b"".join(int(at % 30_000).to_bytes(2, "little") for at in range(start, start + samples))
    return Message(HEADER.pack(turn, start) + pcm, turn, start + samples)


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 500)), max_size=60),
    st.integers(0, 60),
    st.integers(0, 30_000),
)
def test_what_was_not_received_is_sent_again_whole_and_in_order(
    items: list[int | None], received: int, played: int
) -> None:
    outbox = Outbox()
    messages: list[Message] = []
    at = 0
    for index, samples in enumerate(items):
        if samples is None:
            messages.append(Message(f"event {index}"))
        else:
            messages.append(sound(3, at, samples))
            at += samples
        outbox.add(messages[-1])
    received = min(received, len(messages))
    ends = [message.end for message in messages[:received] if message.end]
    outbox.played(3, min(played, ends[-1] if ends else 0))  # nobody plays what it has not
    missed, again = outbox.since(received)
    assert missed == 0
    assert again == [message.data for message in messages[received:]]


def test_more_than_was_sent_cannot_have_been_received() -> None:
    outbox = Outbox()
    outbox.add(Message("one"))
    with pytest.raises(WireError, match="2 messages cannot have been received; 1 were sent"):
        outbox.since(2)


def test_the_oldest_is_forgotten_and_that_is_said() -> None:
    outbox = Outbox()
    size = KEPT_BYTES // 10
    for number in range(25):
        outbox.add(Message(bytes([number]) * size))
    missed, again = outbox.since(3)
    assert missed == 12
    assert [message[0] for message in again] == list(range(15, 25))


def test_what_was_played_is_not_kept() -> None:
    outbox = Outbox()
    for start in range(0, 480_000, 480):
        outbox.add(sound(1, start, 480))
        outbox.played(1, max(0, start - 960))
    assert outbox._bytes < 10_000
    assert outbox.count == 1_000


@pytest.mark.parametrize("position", [0, 1, 479, 480, 481, 1_000, 1_440])
def test_who_has_nothing_gets_the_reply_from_where_it_was_played(position: int) -> None:
    outbox = Outbox()
    outbox.add(Message("a caption of it", 2))
    for start in range(0, 1_440, 480):
        outbox.add(sound(2, start, 480))
    outbox.add(Message("of no reply"))
    outbox.played(2, position)
    again = outbox.restart(2, pcm=True)
    heard = b"".join(message[8:] for message in again if isinstance(message, bytes))
    assert heard == sound(2, position, 1_440 - position).data[8:]
    assert "of no reply" not in again
    assert outbox.count == len(again)
    assert outbox.since(0) == (0, again)
