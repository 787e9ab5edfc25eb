"""The dashboard: a page, and the assistant's state for it."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

logger = logging.getLogger("coda.dashboard.server")


class CodaDashboardServer:
    def __init__(self, host: str = "localhost", port: int = 8080) -> None:
        self.host = host
        self.port = port
        self.app: web.Application | None = None
        self.runner: web.AppRunner | None = None
        self.site: web.TCPSite | None = None
        self.running = False
        self.dashboard_dir = Path(__file__).parent
        self.integration_layer: Any = None
        self.websocket_integration: Any = None

    def set_integration_layer(self, integration_layer: Any) -> None:
        self.integration_layer = integration_layer

    def set_websocket_integration(self, websocket_integration: Any) -> None:
        self.websocket_integration = websocket_integration

    async def start(self) -> None:
        if self.running:
            logger.warning("Dashboard server already running")
            return
        self.app = web.Application()
        self._setup_routes()
        self.runner = web.AppRunner(self.app)
        await self.runner.setup()
        self.site = web.TCPSite(self.runner, self.host, self.port)
        await self.site.start()
        self.running = True

    async def stop(self) -> None:
        if self.running and self.runner is not None:
            await self.runner.cleanup()
            self.running = False

    def _setup_routes(self) -> None:
        assert self.app is not None
        self.app.add_routes(
            [
                web.get("/", self._serve_index),
                web.get("/index.html", self._serve_index),
                web.get("/dashboard.js", self._serve_dashboard_js),
                web.static("/static", self.dashboard_dir, name="static"),
                web.get("/api/status", self._api_status),
                web.get("/api/components", self._api_components),
                web.get("/api/events", self._api_events),
                web.get("/api/metrics", self._api_metrics),
                web.post("/api/control/{action}", self._api_control),
                web.post("/api/chat/message", self._api_chat_message),
                web.get("/api/chat/session", self._api_chat_session),
                web.post("/api/chat/session", self._api_create_chat_session),
                web.get("/health", self._health_check),
            ]
        )

    async def _serve_index(self, request: web.Request) -> web.Response:
        return self._serve("index.html", "text/html", "Dashboard index.html not found")

    async def _serve_dashboard_js(self, request: web.Request) -> web.Response:
        kind = "application/javascript"
        return self._serve("dashboard.js", kind, "Dashboard JavaScript not found")

    def _serve(self, name: str, kind: str, missing: str) -> web.Response:
        file = self.dashboard_dir / name
        if not file.exists():
            return web.Response(text=missing, status=404, content_type="text/plain")
        return web.Response(text=file.read_text(encoding="utf-8"), content_type=kind)

    async def _api_status(self, request: web.Request) -> web.Response:
        if self.integration_layer is None:
            return _json({"error": "Integration layer not available"}, 503)
        own = {"running": self.running, "host": self.host, "port": self.port}
        return _json(self.integration_layer.get_integration_status() | {"dashboard_server": own})

    async def _api_components(self, request: web.Request) -> web.Response:
        if self.integration_layer is None:
            return _json({"error": "Integration layer not available"}, 503)
        return _json({"components": self.integration_layer.get_integration_status()["components"]})

    async def _api_events(self, request: web.Request) -> web.Response:
        if self.websocket_integration is None:
            return _json({"events": [], "message": "WebSocket integration not available"})
        most = request.query.get("limit", "50")
        events = await self.websocket_integration.get_event_history(int(most))
        return _json({"events": events, "count": len(events)})

    async def _api_metrics(self, request: web.Request) -> web.Response:
        metrics: dict[str, Any] = {"dashboard_server": {"running": self.running}}
        if self.websocket_integration is not None:
            told = self.websocket_integration.get_integration_metrics()
            metrics["websocket_integration"] = told
        return _json(metrics)

    async def _api_control(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        done = {"refresh": "completed", "clear_events": "completed"}
        done["restart_component"] = "not_implemented"
        if action not in done:
            return _json({"error": f"Unknown action: {action}"}, 400)
        if action == "clear_events" and self.websocket_integration is not None:
            self.websocket_integration.component_events.clear()
        return _json({"action": action, "status": done[action]})

    async def _health_check(self, request: web.Request) -> web.Response:
        return _json({"status": "unhealthy" if not self.running else "healthy"})

    def _assistant(self) -> Any:
        """Nothing in the core registers one."""
        from ...core.integration import ComponentType

        if self.integration_layer is None:
            return None
        return self.integration_layer.get_component(ComponentType.ASSISTANT)

    async def _api_chat_message(self, request: web.Request) -> web.Response:
        data = await request.json()
        said, session_id = data.get("message", "").strip(), data.get("session_id")
        if not said:
            return _json({"error": "Message cannot be empty"}, 400)
        if self.integration_layer is None:
            sorry = "I'm currently not connected to the main assistant."
            told = {"status": "success", "response": sorry}
            return _json(told | {"session_id": session_id or "fallback_session"})
        assistant = self._assistant()
        if assistant is None:
            return _json({"error": "Assistant not available"}, 503)
        try:
            source = {"source": "dashboard_chat"}
            result = await assistant.process_text_message(
                message=said, session_id=session_id, metadata=source
            )
            took = result.get("processing_time_ms", 0)
            if self.websocket_integration is not None:
                tell = self.websocket_integration.broadcast_chat_response
                await tell(result.get("session_id"), result.get("response"), took)
            # What the assistant answers with is no dict.
            answer = result.get("response", {}).get("content", "No response")
        except Exception as error:
            logger.error("Error processing chat message: %s", str(error))
            return _json({"error": f"Processing failed: {error}"}, 500)
        told = {"status": "success", "response": answer, "session_id": result.get("session_id")}
        return _json(told | {"processing_time_ms": took})

    async def _api_chat_session(self, request: web.Request) -> web.Response:
        assistant = self._assistant()
        if assistant is None:
            return _json({"session_id": None, "status": "no_session"}, timed=False)
        status = "inactive" if not assistant.conversation_active else "active"
        return _json({"session_id": assistant.current_session_id, "status": status}, timed=False)

    async def _api_create_chat_session(self, request: web.Request) -> web.Response:
        assistant = self._assistant()
        if assistant is None:
            return _json({"error": "Assistant not available"}, 503)
        session_id = await assistant.start_conversation()
        if self.websocket_integration is not None:
            await self.websocket_integration.broadcast_session_created(session_id)
        return _json({"session_id": session_id, "status": "created"}, timed=False)

    def get_dashboard_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def get_status(self) -> dict[str, Any]:
        own = {"running": self.running, "host": self.host, "port": self.port}
        return own | {"dashboard_url": self.get_dashboard_url()}


def _json(told: dict[str, Any], status: int = 200, *, timed: bool = True) -> web.Response:
    now = {"timestamp": datetime.now().isoformat()} if timed else {}
    return web.json_response(told | now, status=status)
