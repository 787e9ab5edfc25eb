"""History holds what was heard: what the server believes against what a client really played."""

from __future__ import annotations

import asyncio
import random

import pytest
from far import FarListener, Network
from virtual import run_virtual
from world import RATE, User, World, config

from coda_voice_plugin.events import Stop
from coda_voice_plugin.session.playback import words_until
from coda_voice_plugin.strategies.ollama import OllamaStrategy

MOST_MS = 80.0
NEAR = Network(0.005, 0.01)
HOME = Network(0.03, 0.05)
MOBILE = Network(0.15, 0.1)
FAR = Network(0.35, 0.2)
STEADY = Network(0.4, 0.02)
COUGH = 0.0501


def converse(listener: FarListener, seed: int, rounds: int = 4) -> None:
    """Ask, and do something at a random moment of each answer."""
    chance = random.Random(seed)
    world = World(OllamaStrategy(), config(turn={"interrupt_ms": 700}))
    world.llm.words = 25

    async def scene() -> None:
        session = world.session(listener)
        user = User(session)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(0.1)
            for _ in range(rounds):
                await user.speak(2)
                await user.silence(chance.uniform(1.0, 5.0))
                match chance.choice(("speech", "stop", "cough", "cough and stop", "nothing")):
                    case "speech":
                        await user.speak(3)
                    case "stop":
                        user.does(Stop())
                    case "cough":
                        await user.sound(COUGH, chance.uniform(0.2, 0.6))
                    case "cough and stop":
                        await user.sound(COUGH, 0.3)
                        await user.silence(chance.uniform(0.0, 0.8))
                        user.does(Stop())
                await user.silence(chance.uniform(0.5, 14.0))
            await user.silence(20)
            listener.look()
            session.close()
        await asyncio.sleep(3)

    run_virtual(scene())


def errors(listener: FarListener) -> tuple[list[float], list[int]]:
    """By how many milliseconds and by how many words each turn is wrong."""
    late, words = [], []
    for turn in listener.turns:
        played = listener.played.get(turn.index, 0)
        late.append(turn.heard_ms - 1000 * played / RATE)
        heard = words_until(listener.words.get(turn.index, []), played)
        words.append(len(turn.assistant.split()) - len(heard.split()))
    return late, words


@pytest.mark.parametrize(
    "network", [NEAR, HOME, MOBILE, FAR], ids=["near", "home", "mobile", "far"]
)
@pytest.mark.parametrize("seed", range(3))
def test_with_reports_history_is_what_was_heard(network: Network, seed: int) -> None:
    listener = FarListener(network, seed, reports=True, buffer_s=0.06)
    converse(listener, seed)
    assert len(listener.turns) >= 3
    late, words = errors(listener)
    assert max(map(abs, late)) <= 1, late
    assert not any(words), words
    assert listener.captions_late_s <= network.jitter_s


@pytest.mark.parametrize("network", [NEAR, HOME, STEADY], ids=repr)
@pytest.mark.parametrize("seed", range(2))
def test_without_reports_history_is_wrong_by_the_jitter_at_most(
    network: Network, seed: int
) -> None:
    listener = FarListener(network, seed, reports=False)
    converse(listener, seed)
    assert len(listener.turns) >= 3
    late, words = errors(listener)
    assert max(map(abs, late)) <= MOST_MS, late
    assert max(map(abs, words)) <= 1, words
    assert listener.captions_late_s <= network.jitter_s


def test_a_client_that_may_play_only_later_is_believed_then() -> None:
    """Browsers let a page play when somebody has clicked on it."""
    listener = FarListener(HOME, 1, reports=True, begins_at=6.0)
    converse(listener, 3, rounds=1)
    (turn,) = listener.turns
    assert listener.played[turn.index] > 3 * RATE
    late, words = errors(listener)
    assert (abs(late[0]) <= 1, words) == (True, [0])
