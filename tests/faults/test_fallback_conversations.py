"""What the user hears when a part of two minds fails, and when they are two again.

Whole calls of the strategy ``hybrid``: a scripted user, the real session, ladder, wheel, slots
and scripts, and models that fail. A turn before the fault, one or two with it, one after it.
All on a virtual clock, so the times are exact; ``docs/fallbacks.md`` holds them (``python
tests/faults/test_fallback_conversations.py`` writes it anew).
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "strategies")]  # by hand

import pytest
from fallback_cases import CASES, FIRST_TOKEN_MS, Case
from fallback_models import Ear, Mind, Mouth, Shaky, Sound, content_of, sentences_of, sound_of
from hybrid_scene import Call, hold, world_of

from coda_voice_plugin import Turn
from coda_voice_plugin.events import Notice, Problem
from coda_voice_plugin.kyutai.slot import MoshiSlot
from coda_voice_plugin.speakable import speakable, spoken_text
from coda_voice_plugin.testing import User, run_virtual
from coda_voice_plugin.testing.scripted import LETTER, RATE

DOCUMENT = Path(__file__).parents[2] / "docs" / "fallbacks.md"
LIMIT_S = 60.0
BACK_S = 5.0
"""From healing to use: what the project asks for."""
SEAM_S = 0.3
"""Longest silence in an answer, where all is well."""
WORDS = 12
"""Of an answer of a mind."""


@dataclass(frozen=True)
class Told:
    """One turn: what was told of it, and what was heard."""

    turn: Turn | None
    """None: neither words of the user nor of an answer."""
    rung: str | None
    sound: Sound
    problems: tuple[str, ...]
    first_s: float | None


@dataclass(frozen=True)
class Story:
    """What came of one case."""

    call: Call
    told: tuple[Told, ...]
    moves: tuple[tuple[str | None, str | None], ...]
    back_s: float | None
    """From healing until all that the preferred rung needs is there."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def turn_of(user: User, call: Call, *, muted: bool = False) -> tuple[int, float, float]:
    """The user says two words; wait until the answer is over. Its number, begin and end."""
    began = now()
    talk = call.session.call
    before = talk._turn
    await user.speak(2)
    while talk._turn == before or talk.speaking:
        assert now() < began + LIMIT_S, "the turn has no end"
        if muted and talk._turn != before:
            await asyncio.sleep(0.1)
        else:
            await user.silence(0.1)
    await user.silence(0.5)
    return int(talk._turn), began, now()


def is_back(call: Call) -> bool:
    """Whether every part is well, and the call has a line to Moshi."""
    lines = [s for s in call.strategy.engine.wheel._seats if isinstance(s, MoshiSlot)]
    return bool(lines) and not call.strategy.parts.health.down()


@cache
def story(case: Case) -> Story:
    """Hold the conversation of ``case``."""
    spans: list[tuple[int, float, float]] = []
    back: list[float] = []

    async def scene(user: User, call: Call) -> None:
        spans.append(await turn_of(user, call))
        case.fault(call)
        spans.extend([await turn_of(user, call, muted=case.muted) for _ in case.rungs[1:-1]])
        case.heal(call)
        while not case.healed(call):
            await user.silence(0.1)
        healed = now()
        while now() < healed + BACK_S:
            if not back and is_back(call):
                back.append(now() - healed)
            await user.silence(0.1)
        spans.append(await turn_of(user, call))

    fallback = {"first_token_ms": FIRST_TOKEN_MS, "ladder": ["hybrid", "moshi", "ollama"]}
    settings = {"prompt": {"system": "Be brief."}, **case.settings}
    settings["fallback"] = fallback | dict(settings.get("fallback", {}))
    world, strategy = world_of(
        Shaky(case.slots), missing=case.missing, strategy=case.strategy, **settings
    )
    config = world.config
    world.stt, world.tts, world.llm = Ear(config), Mouth(config), Mind(config)
    world.host._engines |= {"stt": world.stt, "tts": world.tts, "llm": world.llm}
    case.setup(world, strategy)

    async def run() -> Call:
        async with strategy.open(world.host):
            return await hold(world, strategy, scene, reports=False)

    call = run_virtual(run())
    assert world.llm.writing == 0, "the mind is still writing"
    assert strategy.engine.wheel.taken == 0, "a line is left over"
    moves = [(each["from"], each["to"]) for each in call.notices("fallback")]
    told = tuple(told_of(call, *span) for span in spans)
    return Story(call, told, tuple(moves), back[0] if back else None)


def told_of(call: Call, number: int, began: float, ended: float) -> Told:
    events = [event for at, event in call.listener.events if began <= at <= ended]
    turns = {turn.index: turn for turn in call.turns()}
    answered = [e.data["mode"] for e in events if isinstance(e, Notice) and e.kind == "answered"]
    turn = turns.get(number)
    first = turn.timings_ms.get("first_audio") if turn else None
    return Told(
        turn,
        answered[0] if answered else None,
        sound_of(call, number),
        tuple(event.code for event in events if isinstance(event, Problem)),
        None if first is None else first / 1000,
    )


def names(case: Case) -> str:
    return case.name


every = pytest.mark.parametrize("case", CASES, ids=names)


@every
def test_each_turn_is_answered_in_the_way_that_is_left(case: Case) -> None:
    assert tuple(each.rung for each in story(case).told) == case.rungs


@every
def test_one_fault_is_told_once_and_stands_in_the_turn(case: Case) -> None:
    before, ill, *others, healed = story(case).told
    assert ill.problems == ((case.code,) if case.code else ())
    assert all(len(each.problems) <= 1 for each in others)
    for each in (ill, *others):
        if each.turn is not None and each.turn.error:
            assert each.problems == (each.turn.error,)
    for each in (before, healed):
        assert each.problems == ()
        assert each.turn is not None
        assert each.turn.error is None


@every
def test_every_move_is_told_from_where_it_was_to_where_it_is(case: Case) -> None:
    found = story(case)
    at: str | None = found.call.world.config.fallback.ladder[0]
    for origin, to in found.moves:
        assert origin == at
        assert to != at
        at = to
    assert at == case.rungs[-1]
    gone = iter([to for _, to in found.moves])
    changed = [
        one for one, before in zip(case.rungs[1:], case.rungs, strict=False) if one != before
    ]
    assert all(any(to == each for to in gone) for each in changed), "in this order"


@every
def test_one_voice_speaks_at_a_time_and_says_the_words_that_are_told(case: Case) -> None:
    for each in story(case).told:
        said = "".join("M" if moshi else "T" for _, moshi in each.sound.words)
        heard = each.sound.voices
        if case.anew and heard == "MTM":
            heard = "M"  # the broken clause is begun anew, and told once
        assert re.sub(r"(.)\1+", r"\1", said) == heard
        assert each.sound.loudest < 0.3, "both at once would be louder"
        other = " ".join(word for word, moshi in each.sound.words if not moshi)
        letters = len(spoken_text(speakable(other, "en"))) + 1 if other else 0
        if not case.anew:
            assert each.sound.other_s == pytest.approx(letters * LETTER / RATE, abs=0.1)
        if each.turn is not None:
            assert each.turn.assistant == " ".join(word for word, _ in each.sound.words)
            assert not each.turn.interrupted


@every
def test_no_word_of_an_answer_is_stale_or_said_twice_or_lost_untold(case: Case) -> None:
    latest = {"a": 0, "o": 0, "e": 0}
    found = story(case)
    for each in found.told:
        content = content_of(each.sound.words)
        lost = each.rung in {"moshi", None} or (each.turn is not None and each.turn.error)
        if not content:
            assert lost
            continue
        assert len(content) == WORDS or lost
        assert {(mind, number) for mind, number, _ in content} == {content[0][:2]}
        assert [place for *_, place in content] == list(range(len(content)))
        mind, number, _ = content[0]
        assert number > latest[mind]
        latest[mind] = number
        if mind == "a":
            assert each.turn is not None
            assert found.call.llm.asked[number - 1][-1].content == each.turn.user


@every
def test_what_else_is_said_are_whole_sentences_and_no_more_than_must_be(case: Case) -> None:
    before, *ill, healed = story(case).told
    sorry = 0
    for each in (before, *ill, healed):
        said = sentences_of(each.sound.words)
        assert len({sentence for sentence, _ in said}) == len(said), "none twice"
        for sentence, whole in said:
            assert whole or (case.cut and each in ill), f"only the beginning of {sentence!r}"
        bad = [s for s, _ in said if s.startswith(("Sorry, ", "I can't look"))]
        assert not bad or each in ill
        sorry += len(bad)
    assert sorry == case.sorry


@every
def test_the_conversation_goes_along(case: Case) -> None:
    found = story(case)
    *earlier, last = found.told
    if last.rung == "moshi":
        return  # who was asked nothing
    assert last.turn is not None
    asked = found.call.llm.asked[content_of(last.sound.words)[0][1] - 1]
    read = " | ".join(message.content for message in asked)
    for each in earlier:
        if each.turn is not None:
            assert each.turn.user in read
            assert each.turn.assistant in read


@every
def test_the_clock_of_the_sound_never_stops(case: Case) -> None:
    assert story(case).call.session.call.mic.dropped == 0


@every
def test_nobody_is_left_in_silence(case: Case) -> None:
    before, *ill, healed = story(case).told
    for each in (before, healed):
        assert each.first_s is not None
        assert each.first_s < 1.3
        assert each.sound.silence_s <= SEAM_S
    assert case.silence_s <= 0.5 or case.excuse
    for each in ill:
        assert each.sound.silence_s <= case.silence_s
        assert each.sound.hole_s <= each.sound.silence_s + 0.01
        if case.unheard:
            assert each.first_s is None
        else:
            assert each.first_s is not None
            assert each.first_s <= case.first_s


@every
def test_what_has_healed_is_used_again_within_the_promised_time(case: Case) -> None:
    found = story(case)
    if case.missing is not None:
        assert found.back_s is None, "what did not load is not looked at again"
        return
    assert found.back_s is not None
    assert found.back_s <= BACK_S


def test_the_document_holds_what_was_measured() -> None:
    table = DOCUMENT.read_text().partition("<!-- measured -->\n")[2].partition("<!-- end -->")[0]
    again = "python tests/faults/test_fallback_conversations.py"
    assert table == measured(), f"run `{again}` and look at what changed"


def measured() -> str:
    """The table of ``docs/fallbacks.md``."""
    lines = [
        "| fault | answered by | the user hears | first sound | silence | hole | told | back |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        found = story(case)
        _, *ill, _ = found.told
        silence = max(each.sound.silence_s for each in ill)
        hole = max(each.sound.hole_s for each in ill)
        told = [f"`{code}`" for code in ill[0].problems]
        told += [f"{origin or 'nobody'} → {to or 'nobody'}" for origin, to in found.moves]
        cells = [
            case.name,
            ", ".join(each.rung or "nobody" for each in found.told),
            heard(ill[0].sound),
            seconds(ill[0].first_s),
            seconds(silence) + (f" ({case.excuse})" if case.excuse else ""),
            seconds(hole),
            "; ".join(told) or "-",
            "not before a restart" if found.back_s is None else seconds(found.back_s),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def heard(sound: Sound) -> str:
    """The words of a turn; Moshi's in italics."""
    parts: list[str] = []
    last: bool | None = None
    for word, moshi in sound.words:
        if moshi == last:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
        last = moshi
    first = sound.words[0][1] if sound.words else False
    marked = [f"*{p}*" if (n % 2 == 0) == first else p for n, p in enumerate(parts)]
    return " ".join(marked) or "(nothing)"


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{max(0.0, value):.2f} s"


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    pattern = r"(<!-- measured -->\n).*(?=<!-- end -->)"
    DOCUMENT.write_text(re.sub(pattern, lambda found: found[1] + measured(), text, flags=re.DOTALL))
