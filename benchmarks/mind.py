"""What the session adds to a language model: delay, and work after an interruption.

Run ``python benchmarks/mind.py`` (some six minutes); it writes ``results/mind.json``
and ``.md``. It needs the extra ``cpu`` and ``coda-voice fetch smollm2-135m``.

The official client talks to a server with Ollama's API in the same process, whose
tokens come when this script says; the voice is the real one, the user and the ear are
scripted. Interruptions and the prompt cache are measured with real weights too.
Wall times depend on what else runs: the load is written down.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from engines import table
from machine import describe, machine
from mind_scenes import (
    ANSWERS,
    MODEL,
    QUESTIONS,
    Counting,
    Memory,
    Model,
    NotedVoice,
    QuickVoice,
    small,
)
from ollama_server import OllamaServer, speak_through

from coda_voice_plugin import (
    Engine,
    LanguageModel,
    Plugins,
    TextToSpeech,
    VoiceConfig,
    weights,
)
from coda_voice_plugin.engines.hibari import HibariTTS
from coda_voice_plugin.engines.ollama import OllamaClient
from coda_voice_plugin.events import Caption, Flush, Hello, Speech, TurnEnded, Typed
from coda_voice_plugin.session import Session
from coda_voice_plugin.strategies.ollama import OllamaStrategy
from coda_voice_plugin.testing import Listener, ScriptedFront, User, World, config

RESULTS = Path(__file__).with_name("results")
Row = dict[str, Any]
GRACE_MS = 50
"""After this long an interruption must have reached the model."""
FIRST_TOKENS_S = (0.2, 0.5, 1.0, 2.0, 5.0)


def settings(**more: Any) -> VoiceConfig:
    return config(audio={"sample_rate": 24_000, "chunk_size": 480}, **more)


@asynccontextmanager
async def asking(server: OllamaServer, **engines: Engine) -> AsyncIterator[World]:
    """A world whose mind is the client at ``server``."""
    chosen = settings(external_llm={"base_url": server.url})
    async with OllamaClient(chosen).open() as mind:
        yield World(OllamaStrategy(), chosen, engines={"llm": mind, **engines})


@asynccontextmanager
async def calling(world: World, *, paced: bool = True) -> AsyncIterator[tuple[Session, Listener]]:
    """One call."""
    listener = Listener()
    session = Session(
        world.host,
        listener.send,
        Hello(rate=16_000),
        front=ScriptedFront(world.config),  # type: ignore[arg-type]
        paced=paced,
    )
    listener.session = session
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(session.run())
        await asyncio.sleep(0.05)
        yield session, listener
        call.cancel()  # not closed: an answer that was just begun would be spoken to its end


async def turns_over(listener: Listener, count: int) -> None:
    while len(listener.of(TurnEnded)) < count:  # noqa: ASYNC110 - a session tells only its client
        await asyncio.sleep(0.02)


def sounds(listener: Listener, turn: int) -> list[float]:
    """When the frame that carries the beginning of each word of a reply was sent."""
    frames = [
        (at, event.frame)
        for at, event in listener.events
        if isinstance(event, Speech) and event.turn == turn
    ]
    words = [word for event in listener.of(Caption) if event.turn == turn for word in event.words]
    return [next(at for at, frame in frames if frame.end > word.start) for word in words]


def quantiles(values: Sequence[float]) -> Row:
    """In milliseconds."""
    ordered = sorted(1000 * value for value in values)
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[round(0.99 * last)], 1),
        "max": round(ordered[-1], 1),
    }


async def token_to_sound(voice: TextToSpeech) -> Row:
    """From each token to the sound that carries it, sent as soon as it exists."""
    model, whole, waits, added = Model(), [], [], []
    async with OllamaServer(model.answer).open() as server:
        noted = NotedVoice(voice)
        async with (
            asking(server, tts=noted) as world,
            calling(world, paced=False) as (session, listener),
        ):
            for number, text in enumerate(ANSWERS, 1):
                model.text = text
                noted.asked.clear()
                session.receive(Typed(f"Question {number}?"))
                await turns_over(listener, number)
                sent = sounds(listener, number)
                assert len(sent) == len(model.tokens) == len(text.split())
                first = 0
                for asked, words in noted.asked:
                    for index in range(first, first + words):
                        whole.append(sent[index] - model.tokens[index])
                        waits.append(asked - model.tokens[index])
                        added.append(sent[index] - asked)
                    first += words
    return {"whole": quantiles(whole), "waiting": quantiles(waits), "added": quantiles(added)}


async def first_audio(voice: TextToSpeech, repeat: int) -> list[Row]:
    """From the end of the user's speech, for models that take their time to begin."""
    rows = []
    for first_s in FIRST_TOKENS_S:
        model = Model(first_s)
        found: list[Row] = []
        async with OllamaServer(model.answer).open() as server, asking(server, tts=voice) as world:
            for number in range(repeat):
                model.text = ANSWERS[number % len(ANSWERS)]
                found.append(await _first_audio(world, model))
        middle = {key: round(statistics.median(row[key] for row in found)) for key in found[0]}
        rows.append({"first_token_after_s": first_s, "conversations": repeat, **middle})
    return rows


async def _first_audio(world: World, model: Model) -> Row:
    async with calling(world) as (session, listener):
        user = User(session)
        await user.speak(3)
        while not listener.of(TurnEnded):
            await user.silence(0.096)
        (event,) = listener.of(TurnEnded)
        turn, sent = event.turn, sounds(listener, 1)
        ended = sent[0] - turn.timings_ms["first_audio"] / 1000
        opener = len(turn.generated.split()) - len(model.tokens)
        return {
            "llm_first_token": 1000 * (model.tokens[0] - ended),
            "first_sound": turn.timings_ms["first_audio"],
            "answer_sound": 1000 * (sent[opener] - ended),
            "added": 1000 * (sent[opener] - model.tokens[0]),
        }


async def after_interruption(world: World, model: Model) -> Row:
    """Interrupt one long answer; what the model still wrote."""
    async with calling(world) as (session, listener):
        user = User(session)
        await user.speak(3)
        while not listener.of(Speech):
            await user.silence(0.032)
        await user.silence(1.0)
        assert model.closed < model.tokens[0], "the answer is over already"
        began = asyncio.get_running_loop().time()
        await user.speak(1)
        flush = next(at for at, event in listener.events if isinstance(event, Flush))
        await asyncio.sleep(1.0)
        return {
            "noticed_ms": 1000 * (flush - began),
            "written_before": len(model.tokens),
            "after": sum(at > flush for at in model.tokens),
            "after_grace": sum(at > flush + GRACE_MS / 1000 for at in model.tokens),
            "closed_ms": 1000 * (model.closed - flush),
        }


async def interruptions(voice: TextToSpeech, repeat: int) -> list[Row]:
    model = Model(token_s=0.02, text=" ".join(ANSWERS * 4))
    async with OllamaServer(model.answer).open() as server, asking(server, tts=voice) as world:
        found = [await after_interruption(world, model) for _ in range(repeat)]
    rows = [{"model": "scripted, 50 tokens/s", **worst(found)}]
    async with small().open() as mind:
        real = Model()
        speak = speak_through(mind)

        async def answer(body: dict[str, Any]) -> AsyncGenerator[str, None]:
            real.tokens.clear()
            body["messages"] = [{"role": "user", "content": "Tell me a very long story."}]
            body["options"] |= {"num_predict": 1_500, "temperature": 0.0}
            try:
                async with aclosing(speak(body)) as pieces:
                    async for piece in pieces:
                        real.tokens.append(asyncio.get_running_loop().time())
                        yield piece
            finally:
                real.closed = asyncio.get_running_loop().time()

        async with OllamaServer(answer).open() as server, asking(server, tts=voice) as world:
            found = [await after_interruption(world, real) for _ in range(repeat)]
    return [*rows, {"model": f"{MODEL}, real weights", **worst(found)}]


def worst(found: list[Row]) -> Row:
    return {
        "interruptions": len(found),
        "noticed_ms": statistics.median(row["noticed_ms"] for row in found),
        "after": max(row["after"] for row in found),
        "after_grace": max(row["after_grace"] for row in found),
        "closed_ms": max(row["closed_ms"] for row in found),
    }


async def cache(*, behind_ollama: bool, with_context: bool) -> Row:
    """A typed conversation; tokens of the prompt by turn, and how many were read anew."""
    plugins = Plugins()
    if with_context:
        plugins.add(Memory(), "memory")
    plugins.collect()
    async with small().open() as mind:
        mind._loaded._server = counting = Counting(mind._loaded._server)
        if behind_ollama:
            async with OllamaServer(speak_through(mind)).open() as server:
                chosen = settings(external_llm={"base_url": server.url, "max_tokens": 40})
                async with OllamaClient(chosen).open() as client:
                    await _talk(chosen, plugins, client)
        else:
            await _talk(settings(), plugins, mind)
        turns = counting.timings[-len(QUESTIONS) :]
    read = [turn["prompt_n"] for turn in turns]
    kept = [turn["cache_n"] for turn in turns]
    return {
        "mind": "Ollama's API" if behind_ollama else "llamacpp",
        "context": "with a changing line of context" if with_context else "without",
        "prompt": [new + old for new, old in zip(read, kept, strict=True)],
        "read_anew": read,
        "hit": sum(kept[1:]) / sum(read[1:] + kept[1:]),
    }


async def _talk(chosen: VoiceConfig, plugins: Plugins, mind: LanguageModel) -> None:
    world = World(OllamaStrategy(), chosen, plugins, {"llm": mind, "tts": QuickVoice(chosen)})
    async with calling(world, paced=False) as (session, listener):
        for number, question in enumerate(QUESTIONS, 1):
            session.receive(Typed(question))
            await turns_over(listener, number)


async def measure(repeat: int) -> Row:
    report: Row = {"machine": machine("ollama", "hibari-tts", "xllamacpp")}
    async with HibariTTS(settings()).open() as voice:
        report["token_to_sound_ms"] = await token_to_sound(voice)
        report["first_audio_ms"] = await first_audio(voice, repeat)
        report["interruptions"] = await interruptions(voice, 3 * repeat)
    report["cache"] = [
        await cache(behind_ollama=behind, with_context=more)
        for behind in (False, True)
        for more in (False, True)
    ]
    return report


def written(report: Row) -> str:
    """``mind.md``."""
    lines = [
        "# The mind in a conversation",
        "",
        f"{describe()} Load average at the start: {report['machine']['load_before']}.",
        "The voice is hibari; the delays of the scripted model are set.",
        "",
        "## From a token to the sound that carries it, ms",
        "",
        "Each word of six answers, at 33 tokens a second, sent as soon as it is synthesized."
        " *Waiting* is for the rest of its clause, which the model has not written yet; *added* is"
        " ours: from the whole clause to the frame that carries the word.",
        "",
    ]
    sections = (_token_to_sound, _first_sound, _interruptions, _read_anew)
    return "\n".join([*lines, *(line for section in sections for line in section(report))])


def _token_to_sound(report: Row) -> list[str]:
    names = {"whole": "token to sound", "waiting": "waiting for the clause", "added": "added"}
    rows = [{"part": names[key], **row} for key, row in report["token_to_sound_ms"].items()]
    return table(
        {"part": "|", "count": "words|", "p50": "p50|", "p99": "p99|", "max": "max|"}, rows
    )


def _first_sound(report: Row) -> list[str]:
    lines = [
        "## Time to the first sound, ms after the end of the user's speech",
        "",
        "The median of the conversations. The model is asked when the user pauses, before the turn"
        " is confirmed. *Added*: from its first token to the first sound of the answer, the rest of"
        " the first clause included, and the end of an opener that was begun just before.",
        "",
    ]
    columns = {
        "first_token_after_s": "model's first token after, s|",
        "llm_first_token": "first token|",
        "first_sound": "first sound, an opener perhaps|",
        "answer_sound": "first sound of the answer|",
        "added": "added|",
    }
    return lines + table(columns, report["first_audio_ms"])


def _interruptions(report: Row) -> list[str]:
    lines = [
        "## After an interruption",
        "",
        f"The worst of all. *After {GRACE_MS} ms*: tokens that the model wrote later than that.",
        "",
    ]
    columns = {
        "model": "model|",
        "interruptions": "interruptions|",
        "noticed_ms": "speech to flush, ms (median)|.0f",
        "closed_ms": "flush to closed, ms|.0f",
        "after": "tokens after the flush|",
        "after_grace": f"after {GRACE_MS} ms|",
    }
    return lines + table(columns, report["interruptions"])


def _read_anew(report: Row) -> list[str]:
    lines = [
        "## Prompt tokens that are read anew",
        "",
        f"{MODEL}, {len(QUESTIONS)} turns, counted by llama.cpp. What is new (the last answer as it"
        " was heard, the question) has to be read; *from the cache* leaves out the first turn.",
        "",
    ]
    rows = [
        row | {key: " ".join(map(str, row[key])) for key in ("prompt", "read_anew")}
        for row in report["cache"]
    ]
    columns = {
        "mind": "mind|",
        "context": "hook context|",
        "prompt": "prompt, tokens by turn|",
        "read_anew": "read anew|",
        "hit": "from the cache|.0%",
    }
    return lines + table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="conversations of each kind")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not weights.verified(MODEL, VoiceConfig().models):
        sys.exit(f"needs `coda-voice fetch {MODEL}`")
    report = asyncio.run(measure(given.repeat))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "mind.json").write_text(json.dumps(report, indent=1) + "\n")
    (given.out / "mind.md").write_text(written(report))
    print(written(report))


if __name__ == "__main__":
    main()
