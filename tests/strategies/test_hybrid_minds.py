"""The minds that stand in: when they are opened, what a look at one asks, how they close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import numpy as np
import pytest

from coda_voice_plugin import (
    EngineDownError,
    EngineError,
    EngineMissingError,
    PluginError,
    Plugins,
    SpeakingStyle,
    SpokenAudio,
    hookimpl,
)
from coda_voice_plugin.strategies.echo import EchoStrategy
from coda_voice_plugin.strategies.hybrid.health import Health
from coda_voice_plugin.strategies.hybrid.minds import Minds, ask_ear, ask_voice
from coda_voice_plugin.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, World, run_virtual
from coda_voice_plugin.testing import config as scripted

GONE = EngineDownError("scripted", "nobody answers.")


class Kind:
    """What all minds of one name do, and what was done with them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.takes = 0.5
        """Seconds to open one."""
        self.refuses: Exception | None = None
        """What opening one raises."""
        self.made: list[ScriptedLLM] = []
        self.opened: list[float] = []
        self.closed: list[float] = []

    def mind(kind) -> type[ScriptedLLM]:
        class Mind(ScriptedLLM):
            name = kind.name

            def __init__(self, settings) -> None:
                super().__init__(settings)
                kind.made.append(self)

            @asynccontextmanager
            async def open(self):
                await asyncio.sleep(kind.takes)
                if kind.refuses is not None:
                    raise kind.refuses
                kind.opened.append(now())
                try:
                    yield self
                finally:
                    await asyncio.sleep(0.1)
                    kind.closed.append(now())

        return Mind


class Stage:
    """A host with a mind of its own, and the kinds of mind that can stand in for it."""

    def __init__(self, llm=None, **fallback) -> None:
        self.served, self.inside = Kind("ollama"), Kind("llamacpp")
        self.fallback = fallback
        plugins = Plugins()
        plugins.add(self, "minds")
        plugins.collect()
        settings = scripted(fallback=fallback)
        engines = {} if llm is None else {"llm": llm(settings)}
        self.world = World(EchoStrategy(), settings, plugins, engines)
        self.host = self.world.host
        self.health = Health(settings.fallback)
        self.minds = Minds(self.host, self.health)

    @hookimpl
    def register_llms(self, register) -> None:
        for kind in (self.served, self.inside):
            register(kind.mind())

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        """Run ``scene`` while the minds are open and the looks go on."""

        async def run() -> None:
            async with self.minds.open(), asyncio.TaskGroup() as tasks:
                looks = tasks.create_task(self.health.run())
                await scene()
                looks.cancel()

        run_virtual(run())  # fails when a task is left over


def now() -> float:
    return asyncio.get_running_loop().time()


async def well() -> None:
    pass


def test_the_door_does_not_wait_for_the_minds() -> None:
    stage = Stage(other_model="small:1b")
    stage.served.takes = 60

    async def scene() -> None:
        assert now() == 0.0
        assert stage.health.up("llm")
        assert stage.minds.get("llm") is stage.host.llm
        with pytest.raises(EngineError, match="other: is not open"):
            stage.minds.get("other")

    stage.play(scene)
    assert stage.served.opened == []


def test_the_other_model_is_opened_at_once_with_its_own_name() -> None:
    stage = Stage(other_model="small:1b")

    async def scene() -> None:
        await asyncio.sleep(1)
        (other,) = stage.served.made
        assert other.config.external_llm.model == "small:1b"
        assert other.config.prompt == stage.host.config.prompt
        assert stage.host.config.external_llm.model is None
        assert stage.minds.get("other") is other
        assert stage.health.up("other")

    stage.play(scene)
    assert len(stage.served.closed) == 1


@pytest.mark.parametrize(
    "settings", [{}, {"other_model": "small:1b", "ladder": ("hybrid", "moshi")}]
)
def test_no_other_model_is_opened_that_no_rung_uses(settings) -> None:
    stage = Stage(**settings)

    async def scene() -> None:
        await asyncio.sleep(5)
        assert not stage.health.has("other")

    stage.play(scene)
    assert stage.served.made == []


def test_the_embedded_mind_takes_no_memory_while_all_is_well() -> None:
    stage = Stage()

    async def scene() -> None:
        stage.health.add("moshi", well)
        await asyncio.sleep(600)
        assert not stage.health.up("embedded")
        assert not stage.health.has("embedded")

    stage.play(scene)
    assert stage.inside.made == []


@pytest.mark.parametrize("part", ["moshi", "llm"])
def test_the_first_failure_above_it_opens_the_embedded_mind(part) -> None:
    stage = Stage()

    async def scene() -> None:
        stage.health.add("moshi", well)
        await asyncio.sleep(10)
        stage.health.failed(part, GONE)
        await asyncio.sleep(0.51)
        assert stage.health.up("embedded"), "usable as soon as it is loaded"
        assert stage.minds.get("embedded") is stage.inside.made[0]
        await asyncio.sleep(10)
        assert stage.health.up(part)
        assert stage.health.up("embedded"), "it stays"
        stage.health.failed(part, GONE)
        await asyncio.sleep(1)

    stage.play(scene)
    assert stage.inside.opened == [10.5], "once"


@pytest.mark.parametrize("before", [True, False])
def test_a_part_that_never_came_up_opens_the_embedded_mind_at_the_start(before) -> None:
    stage = Stage()
    missing = EngineMissingError("moshi", "torch", "gpu")

    async def run() -> None:
        if before:
            stage.health.missing("moshi", missing)
        async with stage.minds.open():
            if not before:
                stage.health.missing("moshi", missing)
            await asyncio.sleep(1)
            assert stage.health.up("embedded")

    run_virtual(run())


@pytest.mark.parametrize(
    ("ladder", "part", "opens"),
    [
        (("embedded",), None, True),
        (("embedded", "moshi"), None, True),
        (("ollama", "embedded"), "moshi", False),
        (("ollama", "embedded"), "llm", True),
        (("moshi", "embedded"), "llm", False),
        (("moshi", "embedded"), "moshi", True),
        (("hybrid", "moshi", "ollama"), "llm", False),
        (("hybrid", "moshi", "ollama", "embedded"), "stt", False),
    ],
)
def test_only_a_rung_above_it_opens_the_embedded_mind(ladder, part, opens) -> None:
    stage = Stage(ladder=ladder)

    async def scene() -> None:
        for each in ("moshi", "stt"):
            stage.health.add(each, well)
        if part is not None:
            stage.health.failed(part, GONE)
        await asyncio.sleep(1)
        assert stage.health.up("embedded") is opens

    stage.play(scene)
    assert len(stage.inside.made) == opens


class Embedded(ScriptedLLM):
    name = "auto"
    label = "llamacpp qwen2.5-coder-0.5b"


@pytest.mark.parametrize("with_ollama", [True, False])
def test_there_is_no_second_embedded_mind_where_the_hosts_own_is_one(with_ollama) -> None:
    ladder = ("hybrid", "moshi", "ollama", "embedded") if with_ollama else ("moshi", "embedded")
    stage = Stage(llm=Embedded, ladder=ladder)

    async def scene() -> None:
        stage.health.missing("moshi", GONE)
        await asyncio.sleep(1)
        assert stage.health.up("embedded") is not with_ollama
        if not with_ollama:
            assert stage.minds.get("embedded") is stage.host.llm
            stage.health.failed("embedded", GONE)
            await asyncio.sleep(5)
            assert stage.health.up("embedded")

    stage.play(scene)
    assert stage.inside.made == []


def test_a_mind_that_cannot_be_opened_is_missing_and_tried_again_by_its_looks() -> None:
    stage = Stage(other_model="small:1b")
    stage.served.refuses = GONE

    async def scene() -> None:
        await asyncio.sleep(10)
        assert stage.health.has("other")
        assert stage.health.reason("other") == "scripted: nobody answers."
        assert 5 <= len(stage.served.made) <= 11
        stage.served.refuses = None
        await asyncio.sleep(4.5)
        assert stage.health.up("other")
        assert stage.minds.get("other") is stage.served.made[-1]

    stage.play(scene)
    assert len(stage.served.opened) == len(stage.served.closed) == 1


def test_a_mind_that_takes_longer_to_open_than_a_look_is_waited_for_by_the_next_looks() -> None:
    stage = Stage(other_model="small:1b")
    stage.served.refuses = GONE

    async def scene() -> None:
        await asyncio.sleep(1)
        stage.served.refuses, stage.served.takes = None, 20
        await asyncio.sleep(25)
        assert stage.health.up("other")

    stage.play(scene)
    assert len(stage.served.made) == 2, "one attempt, however many looks"


def test_a_mind_whose_opening_has_a_bug_is_logged_and_missing(caplog) -> None:
    stage = Stage(ladder=("embedded",))
    stage.inside.refuses = ZeroDivisionError("by nought")

    async def scene() -> None:
        await asyncio.sleep(0.6)
        assert stage.health.reason("embedded") == ("embedded: failed: ZeroDivisionError: by nought")
        stage.inside.refuses = None
        await asyncio.sleep(10)
        assert stage.health.up("embedded")

    with caplog.at_level(logging.ERROR):
        stage.play(scene)
    assert caplog.records[0].exc_info


def test_a_kind_of_mind_that_is_not_installed_is_missing() -> None:
    stage = Stage(ladder=("embedded",))
    del stage.host.plugins.kinds["llm"]["llamacpp"]

    async def scene() -> None:
        await asyncio.sleep(1)
        assert "no llm named 'llamacpp'" in stage.health.reason("embedded")

    stage.play(scene)


def test_a_host_without_a_mind_has_none_to_ask() -> None:
    stage = Stage()
    del stage.host._engines["llm"]

    async def scene() -> None:
        assert stage.health.down() == ("llm",)
        assert not stage.health.has("llm")
        with pytest.raises(PluginError):
            stage.minds.get("llm")

    stage.play(scene)


def test_a_look_asks_for_one_word_and_stops_there() -> None:
    stage = Stage()

    async def scene() -> None:
        await stage.minds.probe("llm")
        assert [message.content for message in stage.world.llm.asked[0]] == ["Hello."]
        assert stage.world.llm.yielded == 1
        assert stage.world.llm.writing == 0

    stage.play(scene)


def test_a_mind_that_ends_without_a_word_is_well() -> None:
    """One token may be a thought, which is not spoken."""
    stage = Stage()

    async def scene() -> None:
        stage.world.llm.script = [[]]
        await stage.minds.probe("llm")
        assert stage.world.llm.yielded == 0

    stage.play(scene)


def test_a_mind_that_is_connected_and_breaks_is_not_well() -> None:
    stage = Stage()

    async def scene() -> None:
        stage.world.llm.failures, stage.world.llm.fail_after = 1, 0
        with pytest.raises(EngineError, match="the mind broke"):
            await stage.minds.probe("llm")

    stage.play(scene)


class Careful(ScriptedLLM):
    """A mind with a cheap look, which notes how much it may say."""

    refuses = True

    def __init__(self, settings) -> None:
        super().__init__(settings)
        self.most: list[int | None] = []

    def chat(self, messages, *, tools=(), options=None):
        self.most.append(options and options.max_tokens)
        return super().chat(messages, tools=tools, options=options)

    async def probe(self) -> str:
        if self.refuses:
            raise GONE
        return "here"


def test_a_cheap_look_spares_the_question() -> None:
    stage = Stage(llm=Careful)

    async def scene() -> None:
        with pytest.raises(EngineDownError):
            await stage.minds.probe("llm")
        assert stage.host.llm.asked == []
        stage.host.llm.refuses = False
        await stage.minds.probe("llm")
        assert stage.host.llm.most == [1]

    stage.play(scene)


class Loading(ScriptedLLM):
    """Loads its model for ``load_s`` when first asked, and gives up when nobody waits for it,
    as Ollama does."""

    load_s = 8.0

    def __init__(self, settings) -> None:
        super().__init__(settings)
        self.loaded = asyncio.Event()
        self.loads = self.given_up = self.at_once = 0

    async def chat(self, messages, *, tools=(), options=None):
        self.at_once = max(self.at_once, self.writing + 1)
        async with aclosing(super().chat(messages, tools=tools, options=options)) as pieces:
            async for piece in pieces:
                if not self.loaded.is_set():
                    await self._load()
                yield piece

    async def _load(self) -> None:
        if self.loads > self.given_up:
            await self.loaded.wait()  # it is being loaded for somebody
            return
        self.loads += 1
        try:
            await asyncio.sleep(self.load_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self.loaded.set()


def test_a_server_that_loads_its_model_again_is_waited_for() -> None:
    stage = Stage(llm=Loading)

    async def scene() -> None:
        stage.health.failed("llm", GONE)
        await asyncio.sleep(14)
        assert stage.health.up("llm")
        assert (stage.host.llm.loads, stage.host.llm.given_up) == (1, 0)
        assert stage.host.llm.at_once <= 2, "the patient question and the one of this look"

    stage.play(scene)
    assert stage.host.llm.writing == 0


def test_a_mind_that_hangs_is_left_when_the_minds_close() -> None:
    stage = Stage()
    stage.world.llm.first_token = 3600

    async def scene() -> None:
        stage.health.failed("llm", GONE)
        await asyncio.sleep(30)
        assert not stage.health.up("llm")
        assert stage.world.llm.writing <= 2

    stage.play(scene)
    assert stage.world.llm.writing == 0


def test_an_old_question_that_hangs_keeps_a_healed_mind_from_nothing() -> None:
    stage = Stage()
    stage.world.llm.first_token = 3600

    async def scene() -> None:
        stage.health.failed("llm", GONE)
        await asyncio.sleep(30)
        stage.world.llm.first_token = 0.05
        await asyncio.sleep(4.5)
        assert stage.health.up("llm")

    stage.play(scene)


@pytest.mark.parametrize("at", [0.2, 1.0, 30.0])
def test_closing_leaves_nothing_open_whatever_goes_on(at) -> None:
    stage = Stage(other_model="small:1b", ladder=("ollama", "embedded"))
    stage.inside.takes = 25

    async def scene() -> None:
        stage.health.failed("llm", GONE)
        await asyncio.sleep(at)

    stage.play(scene)
    for kind in (stage.served, stage.inside):
        assert len(kind.opened) == len(kind.closed)

    async def closed() -> None:
        with pytest.raises(EngineError):
            stage.minds.get("embedded")
        with pytest.raises(EngineError, match="is closing"):
            await stage.minds.probe("other")

    run_virtual(closed())


def test_a_change_after_the_end_is_none_of_their_business(caplog) -> None:
    stage = Stage()

    async def run() -> None:
        async with stage.minds.open():
            pass
        stage.health.failed("llm", GONE)
        await asyncio.sleep(5)

    with caplog.at_level(logging.ERROR):
        run_virtual(run())
    assert stage.inside.made == []
    assert caplog.records == []


def test_what_the_block_raises_is_passed_on_as_it_is() -> None:
    stage = Stage(other_model="small:1b")

    async def breaks() -> None:
        async with stage.minds.open():
            await asyncio.sleep(1)
            raise GONE

    async def run() -> None:
        with pytest.raises(EngineDownError):
            await breaks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), stage.minds.open():
                await asyncio.sleep(60)

    run_virtual(run())
    assert len(stage.served.opened) == len(stage.served.closed) == 2


def test_the_ear_is_asked_to_read_silence() -> None:
    async def run() -> None:
        ear = ScriptedSTT(scripted())
        await ask_ear(ear)
        ear.failures = 1
        with pytest.raises(EngineError):
            await ask_ear(ear)

    run_virtual(run())


class Mute(ScriptedTTS):
    async def synthesize(self, text, style: SpeakingStyle):
        yield SpokenAudio(np.zeros(0, np.float32))


def test_the_voice_is_asked_to_say_a_word_that_can_be_heard() -> None:
    async def run() -> None:
        voice = ScriptedTTS(scripted())
        await ask_voice(voice)
        assert voice.spoken == ["Yes."]
        voice.failures = 1
        with pytest.raises(EngineError):
            await ask_voice(voice)
        with pytest.raises(EngineError, match="gave no sound"):
            await ask_voice(Mute(scripted()))

    run_virtual(run())
