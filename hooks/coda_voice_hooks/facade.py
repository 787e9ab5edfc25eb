"""The assistant as Coda's own doors look it up."""

from __future__ import annotations

from typing import Any

from .core import CodaError

_NOT_OURS = frozenset({"initialize", "shutdown", "cleanup"})


class AssistantFacade:
    """An assistant as a component of itself.

    The core's chat looks a component ``assistant`` up that it never registers. The assistant
    itself cannot be registered: the integration layer would shut it down while it shuts that
    layer down, and wait for itself for ever. And the doors want an answer as a dict.
    """

    def __init__(self, assistant: Any) -> None:
        self._assistant = assistant

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_OURS:
            raise AttributeError(name)
        return getattr(self._assistant, name)

    async def process_text_message(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The assistant's answer, with the response as JSON can carry it.

        Raises CodaError where there is none: the doors tell that to whoever asked.
        """
        result: dict[str, Any] = await self._assistant.process_text_message(*args, **kwargs)
        response = result.get("response")
        if isinstance(response, dict):
            return result
        if response is None or result.get("status") == "error":
            raise CodaError(str(result.get("error") or "no answer came back."))
        return {**result, "response": {"content": getattr(response, "content", str(response))}}
