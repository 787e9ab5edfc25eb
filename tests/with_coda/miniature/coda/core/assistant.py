"""The assistant: its parts, its sessions, and what becomes of what is said to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from ..components.llm.manager import LLMManager
from ..components.llm.models import LLMProvider, LLMResponse
from ..components.memory.manager import MemoryManager
from ..components.personality.manager import PersonalityManager
from ..components.tools.manager import ToolManager
from ..components.voice.manager import VoiceManager
from ..interfaces.dashboard.server import CodaDashboardServer
from ..interfaces.websocket.server import CodaWebSocketServer
from . import parts, reading
from .component_recovery import ComponentRecoveryManager, get_recovery_manager
from .config import CodaConfig
from .event_coordinator import EventCoordinator
from .events import EventBus, EventType, emit_event, get_event_bus
from .integration import ComponentIntegrationLayer, ComponentType
from .performance_monitor import CodaPerformanceMonitor
from .session_manager import SessionManager
from .websocket_integration import ComponentWebSocketIntegration

logger = logging.getLogger("coda.assistant")


class CodaAssistant:
    def __init__(self, config: CodaConfig) -> None:
        self.config = config
        self.logger = logger
        self.event_bus: EventBus = get_event_bus()
        self.event_coordinator = EventCoordinator()
        self.integration_layer = ComponentIntegrationLayer()
        self.websocket_integration: ComponentWebSocketIntegration | None = None
        self.dashboard_server: CodaDashboardServer | None = None
        self.performance_monitor: CodaPerformanceMonitor | None = None
        self.recovery_manager: ComponentRecoveryManager = get_recovery_manager()
        self.running = False
        self.memory_manager: MemoryManager | None = None
        self.personality_manager: PersonalityManager | None = None
        self.llm_manager: LLMManager | None = None
        self.tools_manager: ToolManager | None = None
        self.voice_manager: VoiceManager | None = None
        self.websocket_server: CodaWebSocketServer | None = None
        self.conversation_active = False
        self.current_session_id: str | None = None
        self.session_manager = SessionManager()
        self.voice_conversations: dict[str, str] = {}

    async def initialize(self) -> None:
        self._register_recovery_handlers()
        await self.recovery_manager.start_monitoring()
        try:
            await self.session_manager.initialize()
            await self.event_bus.start()
            await self.event_coordinator.initialize()
            self.integration_layer.register_component(ComponentType.EVENT_BUS, self.event_bus)
            await self._register_and_initialize_components()
            self.websocket_integration = ComponentWebSocketIntegration(self.integration_layer)
            done = await self.integration_layer.initialize_all_components()
            failed = [kind.value for kind, well in done.items() if not well]
            if failed:
                logger.warning("Some components failed to initialize: %s", failed)
            await self._start_servers(self.websocket_integration)
            self._watch(self.websocket_integration)
            self.running = True
            told = {"component": "assistant", "status": "ready"}
            await emit_event(EventType.SYSTEM_STARTUP, told)
        except Exception as error:
            logger.error("Failed to initialize Coda Assistant: %s", str(error))
            raise

    async def _register_and_initialize_components(self) -> None:
        wanted = {
            "memory": self.config.memory,
            "llm": self.config.llm,
            "personality": self.config.personality.enabled,
            "tools": self.config.tools.enabled,
            "voice": self.config.voice,
        }
        for name in (name for name, want in wanted.items() if want):
            await getattr(self, f"_init_{name}_manager")()
            manager = getattr(self, f"{name}_manager")
            self.integration_layer.register_component(ComponentType(name), manager)

    async def _start_servers(self, integration: ComponentWebSocketIntegration) -> None:
        """A WebSocket server of its own is made too late to be wired to anything."""
        if self.websocket_server:
            integration.set_websocket_server(self.websocket_server)
            await integration.start()
            self.event_coordinator.add_websocket_client(self.websocket_server)
        try:
            self.dashboard_server = CodaDashboardServer(
                self.config.dashboard.host, self.config.dashboard.port
            )
            self.dashboard_server.set_integration_layer(self.integration_layer)
            self.dashboard_server.set_websocket_integration(integration)
            await self.dashboard_server.start()
        except Exception as error:
            logger.warning("Failed to start dashboard server: %s", str(error))
            self.dashboard_server = None
        if self.config.websocket.enabled:
            where = self.config.websocket
            self.websocket_server = CodaWebSocketServer(where.host, where.port)
            await self.websocket_server.start()

    async def shutdown(self) -> None:
        """The watch over the parts goes on."""
        self.running = False
        if self.websocket_server:
            await self.websocket_server.stop()
        if self.performance_monitor:
            self.performance_monitor.stop_monitoring()
        if self.dashboard_server:
            await self.dashboard_server.stop()
        if self.websocket_integration:
            await self.websocket_integration.stop()
        await self.integration_layer.shutdown_all_components()
        await emit_event(EventType.SYSTEM_SHUTDOWN, {"component": "assistant"})
        await self.event_bus.stop()

    async def run(self) -> None:
        try:
            await self.initialize()
            await self.start_conversation()
            while self.running:
                await asyncio.sleep(1)
        finally:
            await self.shutdown()

    # Sessions.

    async def start_conversation(self, session_id: str | None = None) -> str:
        if not self.running:
            raise RuntimeError("Assistant not initialized")
        session_id = await self.session_manager.create_session(session_id)
        self.current_session_id, self.conversation_active = session_id, True
        remember = getattr(self.memory_manager, "create_session", None)
        if remember is not None:
            await remember(session_id)
        session = self.session_manager.get_session(session_id)
        told = {"session_id": session_id, "session_data": session}
        await emit_event(EventType.CONVERSATION_START, told)
        return session_id

    async def end_conversation(self, session_id: str | None = None) -> None:
        target = session_id or self.current_session_id
        if not target or not await self.session_manager.end_session(target):
            return
        session = self.session_manager.get_session(target)
        told = {"session_id": target, "session_data": session}
        await emit_event(EventType.CONVERSATION_END, told)
        voice_conversation = self.voice_conversations.pop(target, None)
        if voice_conversation and self.voice_manager:
            await self.voice_manager.end_conversation(voice_conversation)
        if target == self.current_session_id:
            self.current_session_id, self.conversation_active = None, False

    async def switch_session(self, session_id: str) -> bool:
        """To an active session; the one before is ended, for good."""
        session = self.session_manager.get_session(session_id)
        if not session or session.get("status") != "active":
            return False
        before = self.current_session_id if self.conversation_active else None
        if before:
            await self.end_conversation(before)
        self.current_session_id, self.conversation_active = session_id, True
        await self.session_manager.update_session_activity(session_id)
        told = {"session_id": session_id, "action": "session_switch"}
        await emit_event(EventType.CONVERSATION_START, told)
        return True

    async def _enter(self, session_id: str | None) -> None:
        """Not in the core: what text and voice do there first, each for itself."""
        if session_id and self.current_session_id != session_id:
            known = await self.switch_session(session_id)
            if not known:
                await self.start_conversation(session_id)

    # Text.

    async def process_input(
        self, input_text: str, input_type: str = "text", metadata: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        began = time.monotonic()
        if not self.running:
            raise RuntimeError("Assistant not initialized")
        if not self.conversation_active:
            await self.start_conversation()
        session = self.current_session_id
        try:
            told = {"session_id": session, "input": input_text, "input_type": input_type}
            await emit_event(EventType.CONVERSATION_TURN, told)
            asked: Any = input_text
            if self.personality_manager:
                # It is no coroutine.
                asked = await self.personality_manager.enhance_input(input_text)  # type: ignore[misc]
            if not self.llm_manager:
                raise RuntimeError("LLM manager not initialized")
            response = await self.llm_manager.generate_response(asked, conversation_id=session)
            answer = response.content
            if self.memory_manager:
                self.memory_manager.add_turn("user", "[TEXT] " + input_text)
                self.memory_manager.add_turn("assistant", answer)
            marked = {"modality": "text", "input_type": "text", "supports_multimodal": True}
            await self._keep(session, "user", input_text, (metadata or {}) | marked)
            took = 1000 * (time.monotonic() - began)
            marked = {"modality": "text", "response_type": "text", "processing_time_ms": took}
            await self._keep(session, "assistant", answer, marked)
            if self.personality_manager:
                await self.personality_manager.update_from_interaction(input_text, answer)
        except Exception as error:
            logger.error("Error processing input: %s", str(error))
            told = {"error": str(error), "component": "assistant", "input": input_text}
            await emit_event(EventType.SYSTEM_ERROR, told)
            return {"error": str(error), "session_id": session, "status": "error"}
        return {"response": response, "session_id": session, "status": "success"}

    async def _keep(
        self, session: str | None, role: str, content: str, metadata: dict[str, Any]
    ) -> None:
        if session:
            await self.session_manager.add_message_to_session(
                session, role, content, metadata=metadata
            )

    async def process_text_message(
        self,
        message: str,
        session_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The metadata come back, and reach nobody else."""
        began = time.monotonic()
        told = {"message": message, "session_id": session_id, "input_type": "text"}
        await emit_event(EventType.LLM_GENERATION_START, told | {"component": "assistant"})
        try:
            await self._enter(session_id)
            if not self.conversation_active:
                await self.start_conversation(session_id)
            result = await self.process_input(message, input_type="text")
        except Exception as error:
            logger.error("Text message processing failed: %s", str(error))
            result = {"error": str(error), "session_id": self.current_session_id}
            result["status"] = "error"
        took = 1000 * (time.monotonic() - began)
        ended: dict[str, Any] = {"session_id": self.current_session_id}
        ended["processing_time_ms"] = took
        await emit_event(EventType.LLM_GENERATION_COMPLETE, ended | {"component": "assistant"})
        return result | self._framed("text", "text_message_pipeline", metadata, took)

    def _framed(
        self, input_type: str, pipeline: str, metadata: dict[str, Any] | None, took: float
    ) -> dict[str, Any]:
        return {
            "input_type": input_type,
            "processing_time_ms": took,
            "pipeline": pipeline,
            "metadata": metadata or {},
            "timestamp": datetime.now().isoformat(),
        }

    async def process_message(self, message: str, conversation_id: str | None = None) -> Any:
        if conversation_id and self.current_session_id != conversation_id:
            self.current_session_id, self.conversation_active = conversation_id, True
        result = await self.process_input(message)
        if "response" in result:
            return result["response"]
        said = f"Error: {result.get('error', 'Unknown error')}"
        return LLMResponse(
            response_id="error-response", content=said, provider=LLMProvider.OPENAI, model="error"
        )

    # Voice.

    async def process_voice_input(
        self,
        audio_data: bytes,
        session_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        began = time.monotonic()
        told = {"session_id": session_id or self.current_session_id, "input_type": "voice"}
        await emit_event(EventType.LLM_GENERATION_START, told | {"component": "assistant"})
        try:
            await self._enter(session_id)
            if not self.voice_manager:
                raise RuntimeError("Voice processing not available - voice manager not initialized")
            conversation = await self._get_or_create_voice_conversation(self.current_session_id)
            heard = await self.voice_manager.process_voice_input(
                conversation_id=conversation, audio_data=audio_data
            )
            answer = await self._think_about(heard, conversation, metadata or {})
            response = {"content": answer, "audio_data": heard.audio_data}
            response["extracted_text"] = heard.text_content
            result: dict[str, Any] = {"response": response, "status": "success"}
        except Exception as error:
            logger.error("Voice input processing failed: %s", str(error))
            told = {"error": str(error), "component": "assistant", "input_type": "voice"}
            await emit_event(EventType.SYSTEM_ERROR, told)
            result = {"error": str(error), "status": "error"}
        took = 1000 * (time.monotonic() - began)
        result["session_id"] = self.current_session_id
        return result | self._framed("voice", "voice_processing_pipeline", metadata, took)

    async def _think_about(self, heard: Any, conversation: str, metadata: dict[str, Any]) -> str:
        text = heard.text_content
        if not text or not self.llm_manager:
            return str(text)
        try:
            # No conversation_id: the model is shown nothing of what was said before.
            response = await self.llm_manager.generate_response(
                prompt=text, session_id=self.current_session_id, context={}
            )
            answer = str(response.content)
            marked = {"modality": "voice", "has_audio_output": heard.audio_data}
            marked |= {"voice_conversation_id": conversation}
            if self.memory_manager:
                # Every exchange is remembered twice.
                await self.memory_manager.store_interaction(
                    session_id=str(self.current_session_id),
                    user_input=text,
                    assistant_response=answer,
                    metadata=metadata | marked,
                )
                self.memory_manager.add_turn("user", f"[VOICE] {text}")
                self.memory_manager.add_turn("assistant", answer)
            given = metadata | {"modality": "voice", "has_audio_input": True}
            await self._keep(self.current_session_id, "user", text, given)
            # With sound in it: what it is written to is no JSON any more.
            await self._keep(self.current_session_id, "assistant", answer, marked)
            return answer
        except Exception as error:
            logger.warning("LLM processing failed for voice input: %s", str(error))
            return str(text)

    async def _get_or_create_voice_conversation(self, session_id: str | None) -> str:
        if session_id not in self.voice_conversations and self.voice_manager:
            self.voice_conversations[session_id] = await self.voice_manager.start_conversation(
                user_id=None, conversation_id=session_id
            )
        return self.voice_conversations[session_id]

    async def process_voice_stream(
        self,
        audio_stream: Any,
        session_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Reads two names that a chunk does not have: no text, and never the last."""
        framed = {"input_type": "voice_stream", "metadata": metadata or {}}
        try:
            await self._enter(session_id)
            if not self.voice_manager:
                raise RuntimeError("Voice streaming not available - voice manager not initialized")
            conversation = await self._get_or_create_voice_conversation(self.current_session_id)
            async for chunk in self.voice_manager.process_voice_stream(
                conversation_id=conversation, audio_stream=audio_stream
            ):
                response = {
                    "content": getattr(chunk, "text_content", ""),
                    "audio_data": getattr(chunk, "audio_data", None),
                    "text_delta": getattr(chunk, "text_delta", ""),
                    "is_final": getattr(chunk, "is_final", False),
                }
                told = {"response": response, "session_id": self.current_session_id}
                yield told | framed | {"status": "streaming"}
        except Exception as error:
            logger.error("Voice stream processing failed: %s", str(error))
            told = {"error": str(error), "session_id": self.current_session_id}
            yield told | framed | {"status": "error"}

    # In the core all this is written in one class.

    _init_memory_manager = parts._init_memory_manager
    _init_llm_manager = parts._init_llm_manager
    _init_personality_manager = parts._init_personality_manager
    _init_tools_manager = parts._init_tools_manager
    _init_voice_manager = parts._init_voice_manager
    _adapted = parts._adapted
    _watch = parts._watch
    _register_recovery_handlers = parts._register_recovery_handlers
    _restarter = parts._restarter
    _health_of = parts._health_of
    get_session_info = reading.get_session_info
    list_sessions = reading.list_sessions
    get_active_sessions = reading.get_active_sessions
    get_session_history = reading.get_session_history
    get_multimodal_session_history = reading.get_multimodal_session_history
    get_session_modality_stats = reading.get_session_modality_stats
    get_event_history = reading.get_event_history
    get_integration_status = reading.get_integration_status
    get_component = reading.get_component
