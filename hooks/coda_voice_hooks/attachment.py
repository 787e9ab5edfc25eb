"""What joins one assistant of Coda's to its voice.

Heavy modules are imported when they are first needed: Coda's start must not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import entry_points
from types import MethodType
from typing import TYPE_CHECKING, Any

from coda_voice_plugin import GROUP

from .background import Background
from .choosing import Chosen
from .facade import AssistantFacade
from .pages import DASHBOARD_REPAIRS, patch_dashboard
from .repairs import Outcome, Patches

if TYPE_CHECKING:
    from coda_voice_plugin import Host

    from .duplex import WebSocketVoiceManager
    from .guests import Finders, Guests
    from .voice_manager import VoiceManager

logger = logging.getLogger(__name__)

MARK = "coda_voice"
"""Attribute of an assistant that has a voice: its :class:`Attachment`."""
NAME = "voice"
"""Of the component, among Coda's."""


_NEEDED_LATER = (
    "coda_voice_plugin.server.serving",
    "coda_voice_plugin.server.voice",
    *(f"coda_voice_hooks.{name}" for name in ("voice_manager", "duplex", "dashboard", "guests")),
    *(f"coda_voice_hooks.{name}" for name in ("memory", "personality", "tools", "llm")),
)

_STATUS = (
    *("total_components", "ready_components", "failed_components"),
    *("integration_health", "components"),
)
_METRICS = (
    *("is_active", "websocket_server_available"),
    *("event_handlers_registered", "total_events_processed"),
)
"""Fields of the core's events of these kinds; it has more than it tells."""


class Attachment:
    """What joins one assistant to its voice: what is attached, what is missing, what was mended."""

    def __init__(
        self,
        assistant: Any,
        chosen: Chosen,
        outcomes: list[Outcome],
        plugins: tuple[tuple[str, object], ...] = (),
    ) -> None:
        self.assistant = assistant
        self.chosen = chosen
        self.outcomes = outcomes
        """The repairs, each with what became of it."""
        self._plugins = plugins
        self.duplex: dict[int, WebSocketVoiceManager] = {}
        """The voice on Coda's WebSocket servers, by the server's identity."""
        self._patches = Patches()
        self._joined = False
        self._background = Background()

    @cached_property
    def guests(self) -> Guests:
        """The hooks between Coda and the voice."""
        from .guests import Guests

        return Guests(self._finders(), self.chosen.hooks, self._plugins)

    # For the dashboard.

    @property
    def manager(self) -> VoiceManager | None:
        """Coda's voice manager, if it is ours."""
        from .voice_manager import VoiceManager

        manager = self.assistant.voice_manager
        return manager if isinstance(manager, VoiceManager) else None

    @property
    def host(self) -> Host | None:
        running = self.manager.running if self.manager is not None else None
        return running.host if running is not None else None

    @property
    def why_not(self) -> str:
        """Why the voice does not speak, in a sentence; empty when it does."""
        return "Coda has no voice now." if self.manager is None else self.manager.why_not

    @property
    def websocket_port(self) -> int | None:
        server = self.assistant.websocket_server
        return None if server is None else server.port

    def report(self) -> Mapping[str, Any]:
        """For ``/api/voice/status``: what is attached, missing and mended, and how it goes."""
        running = self.manager.running if self.manager is not None else None
        return {
            "attached": self.attached,
            "missing": self.guests.finders.missing(),
            "repairs": {each.name: each.state for each in self.outcomes},
            "notes": list(self.chosen.notes),
            "instead": running.instead or None if running is not None else None,
            "url": running.url if running is not None else None,
            "figures": self.guests.conversation.figures().as_data(),
        }

    @property
    def attached(self) -> list[str]:
        """Parts of Coda that are joined to the voice."""
        missing = self.guests.finders.missing()
        names = ("memory", "personality", "tools", "llm", "sessions", "server")
        return [name for name in names if name not in missing]

    def summary(self) -> str:
        """A few lines for a person: what is there, what is not, and why."""
        applied = [each.name for each in self.outcomes if each.state == "applied"]
        failed = [each for each in self.outcomes if each.state == "failed"]
        lines = [f"voice joined to: {', '.join(self.attached) or 'nothing of Coda'}"]
        missing = self.guests.finders.missing()
        lines += [f"without {name}: {why}" for name, why in missing.items()]
        lines.append(f"defects of the core mended while it runs: {len(applied)}")
        lines += [f"{each.name} could not be mended: {each.detail}" for each in failed]
        lines += [f"note: {note}" for note in self.chosen.notes]
        if self.why_not:
            lines.append(f"the voice does not speak: {self.why_not}")
        return "\n".join(lines)

    # Before the assistant is initialized.

    def prepare(self) -> None:
        """Put ourselves at the seams of the core; cheap, and before it builds its parts."""
        assistant = self.assistant
        patch_dashboard(self._patches, self, off=self._off())
        self._watch_sessions()
        assistant._init_voice_manager = MethodType(_init_voice_manager, assistant)
        if not hasattr(assistant, "set_websocket_server"):
            assistant.set_websocket_server = self._take_server
        initialize = assistant.initialize

        async def initialize_and_join() -> None:
            await initialize()
            await self.join()

        assistant.initialize = initialize_and_join

    def build(self) -> VoiceManager:
        """A new voice manager for the assistant, not opened yet."""
        from .voice_manager import VoiceManager

        manager = VoiceManager(self.chosen, guests=self.guests)
        manager.on_opened = self._opened
        return manager

    # When the assistant runs.

    async def join(self) -> None:
        """Join what exists once the assistant is initialized. Twice is once."""
        if self._joined:
            return
        self._joined = True
        assistant = self.assistant
        if self.manager is None and getattr(assistant.config, "voice", None):
            await assistant._init_voice_manager()
        self._register_assistant()
        await self._wire_servers()
        for line in self.summary().splitlines():
            logger.info("%s", line)

    async def _opened(self) -> None:
        """The voice was opened, for the first time or again by Coda's recovery."""
        manager = self.manager
        integration = self.assistant.websocket_integration
        if manager is None:
            return
        self._register("VOICE", manager)
        if integration is not None:
            integration.set_voice_manager(manager)
        if self._joined:
            await self._announce()

    def _take_server(self, server: Any) -> None:
        """The command line's WebSocket server; the core wires it when it initializes."""
        self.assistant.websocket_server = server
        self._attach(server)

    def _attach(self, server: Any) -> None:
        """Put the voice on a WebSocket server of Coda's."""
        from .duplex import WebSocketVoiceManager

        if id(server) in self.duplex:
            return
        duplex = WebSocketVoiceManager(
            server,
            voice=self._voice,
            background=self._tasks,
            audience=self.guests.audience,
            now=time.time,
        )
        duplex.attach()
        self.duplex[id(server)] = duplex
        server.add_connect_handler(
            lambda client: self._tasks().start(self._greet(server, client), f"greeting {client}")
        )

    async def _greet(self, server: Any, client: str) -> None:
        """Who connects learns how the parts stand: the core tells it only when it changes."""
        for kind, told in self._standing():
            await server.send_to_client(client, kind, told)

    def _standing(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """How Coda's parts and the voice stand now, as events of Coda's."""
        layer, integration = self.assistant.integration_layer, self.assistant.websocket_integration
        for kind, part in list(layer.components.items()):
            needs = [each.value for each in part.dependencies]
            about = {"component_type": kind.value, "state": part.state.value}
            order = part.initialization_order
            yield (
                "component_status",
                {**about, "initialization_order": order, "dependencies": needs},
            )
        yield "system_status", _picked(layer.get_integration_status(), _STATUS)
        if integration is not None:
            yield "integration_metrics", _picked(integration.get_integration_metrics(), _METRICS)
        manager = self.manager
        if manager is not None and manager.running is not None and manager.is_healthy():
            from .telling import ready_info

            host = manager.host
            engines = {each: host.label(each) for each in ("stt", "llm", "tts")}
            yield ready_info({"strategy": host.strategy.name, **engines}, manager.running.url)

    def _voice(self) -> Host:
        from .voice_manager import VoiceManager

        manager = self.manager or VoiceManager()  # which says that there is none
        return manager.host

    def _tasks(self) -> Background:
        running = self.manager.running if self.manager is not None else None
        return self._background if running is None else running.background

    async def _wire_servers(self) -> None:
        """Servers that the core made after its wiring, or without any."""
        assistant = self.assistant
        integration, server = assistant.websocket_integration, assistant.websocket_server
        if server is not None:
            await self._reopen(server)
            self._attach(server)
            if integration is not None:
                integration.set_websocket_server(server)
                if not integration.is_active:
                    await integration.start()
        if integration is not None and self.manager is not None:
            integration.set_voice_manager(self.manager)
        for each in getattr(assistant, "_dashboard_servers", ()):
            if hasattr(each, "set_integration_layer"):
                each.set_integration_layer(assistant.integration_layer)
                each.set_websocket_integration(integration)
        await self._announce()

    async def _reopen(self, server: Any) -> None:
        """A server that listens already holds the handler that the repair has replaced since."""
        mended = any(
            each.name == "websocket-handler-takes-a-path" and each.state == "applied"
            for each in self.outcomes
        )
        if mended and server.running and id(server) not in self.duplex and not server.clients:
            await server.stop()
            await server.start()

    async def _announce(self) -> None:
        """Coda's clients learn that the voice is there, or why it is not."""
        server, manager = self.assistant.websocket_server, self.manager
        if server is None or manager is None:
            return
        if manager.is_healthy():
            status = {"component_type": NAME, "state": "ready", "dependencies": []}
            await server.broadcast_event("component_status", status)
        else:
            trouble = {"error_message": manager.why_not, "error_count": 1, "state": "failed"}
            await server.broadcast_event("component_error", {"component_type": NAME, **trouble})
        health = {"component_type": NAME, "health_status": await manager.health_check()}
        await server.broadcast_event("component_health", health)

    def _register_assistant(self) -> None:
        layer = self.assistant.integration_layer
        integration = import_module("coda.core.integration")
        if layer.get_component(integration.ComponentType.ASSISTANT) is None:
            self._register("ASSISTANT", AssistantFacade(self.assistant))

    def _register(self, kind: str, instance: Any) -> None:
        """Tell the core's integration layer of a part that is ready."""
        integration = import_module("coda.core.integration")
        layer, key = self.assistant.integration_layer, integration.ComponentType[kind]
        known = layer.components.get(key)
        if known is None:
            layer.register_component(key, instance)
            known = layer.components[key]
        known.instance = instance
        if self._joined or kind == "ASSISTANT":  # while it initializes, the layer sets the state
            known.state = integration.ComponentState.READY
            known.last_error = None

    def _watch_sessions(self) -> None:
        """Learn of every message that Coda keeps: what is typed belongs to what is said."""
        sessions = self.assistant.session_manager
        add = sessions.add_message_to_session

        async def add_message_to_session(
            session_id: str, role: str, content: str, metadata: dict[str, Any] | None = None
        ) -> bool:
            added: bool = await add(session_id, role, content, metadata)
            if added:
                self.guests.conversation.added(session_id, role, content, metadata or {})
            return added

        sessions.add_message_to_session = add_message_to_session

    def _off(self) -> frozenset[str]:
        hooks = self.chosen.hooks
        return frozenset(
            hooks.repairs_off if hooks.repairs else (each.name for each in DASHBOARD_REPAIRS)
        )

    def _finders(self) -> Finders:
        from .guests import Finders

        def part(name: str) -> Any:
            return getattr(self.assistant, name, None)

        return Finders(
            memory=partial(part, "memory_manager"),
            personality=partial(part, "personality_manager"),
            tools=partial(part, "tools_manager"),
            llm=partial(part, "llm_manager"),
            sessions=partial(part, "session_manager"),
            server=partial(part, "websocket_server"),
        )


def _picked(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names}


async def _init_voice_manager(assistant: Any) -> None:
    """The core builds its voice here, and builds it anew when its recovery restarts it.

    The first time, its integration layer opens what is built and keeps the reason if that
    fails; Coda then goes on without a voice. Later it must be open when this returns.
    """
    attachment: Attachment = getattr(assistant, MARK)
    # In a thread: the core has just begun to look at the processor, for a second, on the loop.
    await asyncio.to_thread(_load_modules)
    assistant.voice_manager = manager = attachment.build()
    if attachment._joined:
        await manager.initialize()


def _load_modules() -> None:
    """Import what opening the voice needs, off the loop.

    What cannot be imported is told by whoever needs it.
    """
    modules = [*_NEEDED_LATER, *(entry.module for entry in entry_points(group=GROUP))]
    for name in modules:
        with suppress(Exception):
            import_module(name)
