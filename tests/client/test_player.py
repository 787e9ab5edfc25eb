from __future__ import annotations

import random

import pytest

from coda_voice_plugin.client import Loudspeaker, Place
from coda_voice_plugin.events import AudioFrame

RATE = 1_000


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def sound(start: int, samples: int) -> AudioFrame:
    return AudioFrame(bytes(2 * samples), RATE, start)


def loudspeaker(clock: Clock, **options: float) -> Loudspeaker:
    made = Loudspeaker(clock=clock, **options)
    made.begin(RATE)
    return made


def test_sound_is_played_at_its_own_speed() -> None:
    clock = Clock()
    player = loudspeaker(clock)
    player.play(1, sound(0, 500))
    assert player.place() == Place()
    clock.now += 0.2
    assert player.place() == Place(1, 200)
    assert player.left_s() == pytest.approx(0.3)
    clock.now += 9.0
    assert player.place() == Place(1, 500)
    assert player.left_s() == 0.0


def test_a_buffer_is_filled_before_the_first_sound_and_after_it_ran_dry() -> None:
    clock = Clock()
    player = loudspeaker(clock, buffer_s=0.1)
    player.play(1, sound(0, 300))
    assert player.left_s() == pytest.approx(0.4)
    clock.now += 0.2
    assert player.place() == Place(1, 100)
    player.play(1, sound(300, 100))
    clock.now += 0.3
    assert player.place() == Place(1, 400)
    clock.now += 1.0
    player.play(1, sound(400, 100))
    clock.now += 0.15
    assert player.place() == Place(1, 450)


def test_a_gap_is_jumped_and_positions_are_those_of_the_reply() -> None:
    clock = Clock()
    player = loudspeaker(clock)
    player.play(1, sound(0, 100))
    player.play(1, sound(400, 100))
    clock.now += 0.15
    assert player.place() == Place(1, 450)


def test_a_flush_leaves_the_next_reply_alone() -> None:
    clock = Clock()
    player = loudspeaker(clock)
    player.play(1, sound(0, 1_000))
    player.play(2, sound(0, 100))
    clock.now += 0.3
    assert player.flush(1) == 300
    clock.now += 0.05
    assert player.place() == Place(2, 50)
    assert player.flush(1) == 0, "nothing is known of it any more"


@pytest.mark.parametrize("seed", range(40))
def test_the_clock_agrees_with_a_loudspeaker_that_plays_each_sample(seed: int) -> None:
    """A step is one sample long; the model plays one in each unless it is held."""
    chance, clock = random.Random(seed), Clock()
    player = loudspeaker(clock)
    waiting: list[tuple[int, int]] = []
    place, held, turn, end = Place(), False, 1, 0
    for step in range(3_000):
        clock.now = 5.0 + step / RATE
        match chance.choices(("play", "hold", "flush", ""), (4, 1, 1, 300))[0]:
            case "play":
                samples = chance.randint(1, 200)
                player.play(turn, sound(end, samples))
                waiting += [(turn, end + n) for n in range(samples)]
                end += samples
            case "hold":
                held = not held
                player.hold(held)
            case "flush":
                assert player.flush(turn) == (place.samples if place.turn == turn else 0)
                waiting, held, turn, end = [], False, turn + 1, 0
        assert player.place() == place
        assert round(player.left_s() * RATE) == len(waiting)
        if waiting and not held:
            sounds = waiting.pop(0)
            place = Place(sounds[0], sounds[1] + 1)
