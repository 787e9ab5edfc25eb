"""``llm: coda``: the voice thinks with the model of Coda's text chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from coda_voice_hooks.background import Background
from coda_voice_hooks.llm import CodaMind, LLMHooks, adapted, mind_for, provider_of
from coda_voice_hooks.memory import MemoryHooks
from coda_voice_hooks.personality import PersonalityHooks
from coda_voice_hooks.settings import CodaSettings
from coda_voice_hooks.tools import ToolHooks
from ollama_server import OllamaServer

from coda_voice_plugin import (
    EngineError,
    EngineTimeoutError,
    LanguageModel,
    Message,
    Tool,
    ToolCall,
    VoiceConfig,
    load_plugins,
)
from coda_voice_plugin.session.context import Context

NOBODY = "http://127.0.0.1:9"
ASKED = (Message("system", "Be brief."), Message("user", "Hi."))


async def says_hello(_body: dict[str, Any]) -> AsyncGenerator[str, None]:
    for piece in ("Hel", "lo", "."):
        yield piece


async def calls_a_tool(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    assert [tool["function"]["name"] for tool in body["tools"]] == ["clock"]
    yield ToolCall("clock", {})


def manager_of(provider: str = "ollama", **more: Any) -> Any:
    """Coda's own manager with one provider in its settings."""
    from coda.components.llm.manager import LLMManager
    from coda.components.llm.models import LLMConfig, LLMProvider, ProviderConfig

    given = {"model": "tiny", "temperature": 0.3, "max_tokens": 200} | more
    chosen = ProviderConfig(provider=LLMProvider(provider), **given)
    return LLMManager(LLMConfig(providers={"main": chosen}, default_provider="main"))


def config(*, fallback: bool = False, **more: Any) -> VoiceConfig:
    settings = {"fallback_enabled": fallback, "base_url": NOBODY, "retries": 0} | more
    return VoiceConfig.model_validate({"external_llm": settings})


def mind_of(manager: Any, settings: VoiceConfig | None = None) -> CodaMind:
    return mind_for(lambda: manager)(settings or config())


@asynccontextmanager
async def talking(
    answer: Callable[[dict[str, Any]], Any],
) -> AsyncIterator[tuple[OllamaServer, CodaMind]]:
    async with OllamaServer(answer).open() as server:
        mind = mind_of(manager_of(api_base=server.url))
        async with mind.open():
            yield server, mind


async def read(mind: LanguageModel, *tools: Tool) -> list[str | ToolCall]:
    return [piece async for piece in mind.chat(ASKED, tools=tools)]


# With Ollama.


async def test_an_answer_is_streamed_from_codas_own_server() -> None:
    async with talking(says_hello) as (server, mind):
        assert await read(mind) == ["Hel", "lo", "."]
        assert mind.label == "coda (ollama tiny)"
    (question,) = (chat for chat in server.chats if chat["messages"])
    assert question["model"] == "tiny"
    assert question["options"]["temperature"] == 0.3
    assert question["options"]["num_predict"] == 200


async def test_no_request_says_how_long_the_context_is() -> None:
    async with talking(says_hello) as (server, mind):
        await read(mind)
        await mind.read(ASKED)
    assert len(server.chats) == 3  # the loading, the answer, the reading
    assert not [chat for chat in server.chats if "num_ctx" in (chat.get("options") or {})]


async def test_the_conversation_fits_into_what_the_server_reads() -> None:
    async with talking(says_hello) as (_server, mind):
        # it reports 4096, not the 8192 of our settings
        assert mind.prompt_tokens() == 4096 - 200
        assert Context(mind.config, mind).prompt_room == 4096 - 200


async def test_very_long_answers_do_not_take_the_whole_context() -> None:
    async with OllamaServer(says_hello).open() as server:
        mind = mind_of(manager_of(api_base=server.url, max_tokens=4_000))
        async with mind.open():
            assert mind.prompt_tokens() == 4096 - 1024


async def test_tools_are_called_although_the_core_cannot() -> None:
    async def tell_time(_arguments: Any) -> str:
        return "noon"

    clock = Tool("clock", "Tells the time.", {"type": "object", "properties": {}}, tell_time)
    async with talking(calls_a_tool) as (_server, mind):
        assert mind.supports_tools
        assert await read(mind, clock) == [ToolCall("clock", {})]


async def test_the_model_is_not_changed_behind_codas_back() -> None:
    async with talking(says_hello) as (_server, mind):
        with pytest.raises(EngineError, match=r"set llm\.model in Coda's settings"):
            await mind.switch("other")
        assert await read(mind) == ["Hel", "lo", "."]


async def test_codas_conversations_are_left_alone() -> None:
    async with OllamaServer(says_hello).open() as server:
        manager = manager_of(api_base=server.url)
        async with mind_of(manager).open() as mind:
            await read(mind)
        assert await manager.conversation_manager.list_conversations() == []


async def test_a_server_that_is_down_is_an_error_that_names_it() -> None:
    mind = mind_of(manager_of(api_base=NOBODY))
    with pytest.raises(EngineError, match="cannot talk to the server at http://127"):
        async with mind.open():
            pass


async def test_the_embedded_mind_steps_in_for_a_server_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Embedded(LanguageModel):
        name = "embedded"

        async def weights(self) -> list[list[str]]:
            return [["small"]]

        async def chat(self, *_: Any, **__: Any) -> AsyncGenerator[str | ToolCall, None]:
            yield "I am small."

    monkeypatch.setattr("coda_voice_hooks.llm.LlamaCpp", Embedded)
    mind = mind_of(manager_of(api_base=NOBODY), config(fallback=True))
    assert await mind.weights() == [["small"]]
    async with mind.open():
        assert await read(mind) == ["I am small."]
        assert mind.prompt_tokens() is None
    assert await mind_of(manager_of(api_base=NOBODY)).weights() == ()


async def test_no_weights_are_fetched_while_the_server_answers() -> None:
    async with OllamaServer(says_hello).open() as server:
        mind = mind_of(manager_of(api_base=server.url), config(fallback=True))
        assert await mind.weights() == ()


# With another provider.


def scripted(manager: Any, *answers: str | Exception) -> list[list[Any]]:
    """Put a provider without a network behind the settings; returns what it is asked."""
    from coda.components.llm.models import LLMProvider, LLMResponse

    asked: list[list[Any]] = []
    left = list(answers)

    class Cloud:
        def __init__(self, config: Any) -> None:
            self.config = config

        async def generate_response(self, messages: Any, **_: Any) -> Any:
            asked.append([(message.role.value, message.content) for message in messages])
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            if answer == "never":
                await asyncio.Event().wait()
            return LLMResponse(
                response_id="1", content=answer, provider=LLMProvider.OPENAI, model="large"
            )

    manager._providers["main"] = Cloud(manager.config.providers["main"])
    manager._default_provider = "main"
    return asked


async def test_another_provider_answers_in_one_piece() -> None:
    manager = manager_of("openai", api_key="none", model="large")
    asked = scripted(manager, "Good day.")
    async with mind_of(manager).open() as mind:
        assert await read(mind) == ["Good day."]
        assert mind.label == "coda (openai large)"
        assert not mind.supports_tools
    assert asked == [[("system", "Be brief."), ("user", "Hi.")]]
    assert await manager.conversation_manager.list_conversations() == []


async def test_what_the_provider_raises_is_an_error_of_the_engine() -> None:
    from coda.components.llm.base_provider import LLMError

    manager = manager_of("openai", api_key="none", model="large")
    scripted(manager, LLMError("the quota is used up"), "")
    async with mind_of(manager).open() as mind:
        with pytest.raises(EngineError, match="the quota is used up"):
            await read(mind)
        with pytest.raises(EngineError, match="wrote nothing"):
            await read(mind)
    assert await manager.conversation_manager.list_conversations() == []


async def test_a_provider_that_keeps_silent_misses_its_deadline() -> None:
    manager = manager_of("openai", api_key="none", model="large")
    scripted(manager, "never")
    async with mind_of(manager, config(first_token_ms=20)).open() as mind:
        with pytest.raises(EngineTimeoutError, match="more than 20 ms"):
            await read(mind)


async def test_a_provider_that_did_not_start_is_named() -> None:
    manager = manager_of("huggingface", model="large")  # the core knows the name only
    with pytest.raises(EngineError, match="'main' did not start"):
        async with mind_of(manager).open():
            pass


# Which it is.


def test_codas_settings_become_ours() -> None:
    provider = provider_of(manager_of(max_tokens=None, temperature=1.5))
    ours = adapted(config(connect_ms=77), provider).external_llm
    assert (ours.model, ours.temperature, ours.max_tokens) == ("tiny", 1.5, 400)
    assert (ours.base_url, ours.connect_ms) == ("http://localhost:11434", 77)


async def test_without_coda_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(EngineError, match=r"voice\.llm"):
        async with mind_of(None).open():
            pass


async def test_without_a_provider_there_is_an_error() -> None:
    from coda.components.llm.manager import LLMManager
    from coda.components.llm.models import LLMConfig

    with pytest.raises(EngineError, match="name no provider"):
        async with mind_of(LLMManager(LLMConfig())).open():
            pass


def test_it_is_offered_by_its_name() -> None:
    offered: list[type[LanguageModel]] = []
    LLMHooks(lambda: None).register_llms(offered.append)
    (mind,) = offered
    assert mind.name == "coda"
    assert issubclass(mind, CodaMind)


def test_all_hooks_are_accepted_as_plugins() -> None:
    settings, background = CodaSettings(), Background()
    plugins = load_plugins(
        extra=[
            ("memory", MemoryHooks(lambda: None, settings, background)),
            ("personality", PersonalityHooks(lambda: None, settings)),
            ("tools", ToolHooks(lambda: None, lambda: None, settings)),
            ("llm", LLMHooks(lambda: None)),
        ]
    )
    assert issubclass(plugins.engine("llm", "coda"), CodaMind)


def test_two_codas_have_two_minds() -> None:
    one, other = manager_of(), manager_of(model="other")
    minds = [mind_of(one), mind_of(other)]
    assert [mind._provider().model for mind in minds] == ["tiny", "other"]
