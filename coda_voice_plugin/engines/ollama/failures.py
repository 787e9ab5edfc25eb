"""What the client raises and the server writes, as typed errors with the remedy in one line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from coda_voice_plugin import (
    AnswerBrokenError,
    ContextOverflowError,
    EngineDownError,
    EngineError,
    EngineGarbledError,
    EngineTimeoutError,
    ModelMissingError,
    ModelTooBigError,
)
from coda_voice_plugin.config.model import ExternalLLMSettings

NAME = "ollama"

_BYTES = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MEMORY = re.compile(
    r"requires more system memory \((?P<need>[^)]+)\) than is available \((?P<have>[^)]+)\)"
    r"|out of memory|insufficient (?:\w+ )?memory|not enough (?:\w+ )?memory"
    r"|unable to allocate|cudaMalloc failed|failed to allocate",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"exceeds? (?:the )?(?:available |maximum )?context|input length exceeds|tokens and \d+ fit"
    r"|context (?:length|size|window) exceeded|prompt is too long",
    re.IGNORECASE,
)


class RefusedError(EngineError):
    """The server refuses a part of the request that can be left out: "think" or "tools"."""

    def __init__(self, part: str, message: str) -> None:
        self.part = part
        super().__init__(NAME, message)


def may_pass(error: EngineError) -> bool:
    """Whether asking again may help: nobody there, hung up, broke off, or failed (5xx)."""
    if isinstance(error, EngineDownError | AnswerBrokenError):
        return True
    return type(error) is EngineError and getattr(error.__cause__, "status_code", 0) >= 500


@dataclass(frozen=True, slots=True)
class Where:
    """Whom we talk to, for the messages."""

    settings: ExternalLLMSettings
    model: str = ""
    context: int = 0

    @property
    def url(self) -> str:
        """The address without name and password."""
        parts = urlsplit(self.settings.base_url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def late(self, waited_for: str, deadline_ms: int) -> EngineTimeoutError:
        return EngineTimeoutError(
            NAME,
            f"{self.url} kept us waiting for its {waited_for} for more than {deadline_ms} ms; is "
            "the server busy with others (OLLAMA_NUM_PARALLEL), or the model too large for its "
            "GPU (`coda-voice models`)?",
        )

    def missing(self, have: list[str] | None = None) -> ModelMissingError:
        known = "" if have is None else f", or use one it has: {', '.join(have) or 'none'}"
        return ModelMissingError(
            NAME,
            self.model,
            f"there is no model {self.model!r} on {self.url}; run `coda-voice models pull "
            f"{self.model}`{known}.",
        )

    def reported(self, text: str, status: int, *, begun: bool) -> EngineError:
        """What the server itself says, by its meaning."""
        if status == 404 and "model" in text.lower():
            return self.missing()
        if begun:
            return AnswerBrokenError(
                NAME, f"the server at {self.url} failed in the middle of its answer: {_line(text)}"
            )
        if memory := _MEMORY.search(text):
            return self._too_big(text, memory["need"], memory["have"])
        if _CONTEXT.search(text):
            return self._overflow(text)
        if status == 400:
            for part, sign in (("think", "think"), ("tools", "support tools")):
                if sign in text:
                    return RefusedError(part, f"{self.model} refuses {part!r}: {text}")
        code = f" ({status})" if status > 0 else ""
        return EngineError(NAME, f"the server at {self.url} reports{code}: {_line(text)}")

    def raised(self, error: Exception, *, begun: bool) -> EngineError:
        """What the client or the connection raised, by its meaning."""
        import httpx
        from ollama import ResponseError

        if isinstance(error, ResponseError):
            return self.reported(error.error, error.status_code, begun=begun)
        if isinstance(error, httpx.TimeoutException):
            return EngineTimeoutError(
                NAME,
                f"no connection to {self.url} within {self.settings.connect_ms} ms; is the "
                "address right (external_llm.base_url), and the server running?",
            )
        if begun:
            return AnswerBrokenError(
                NAME,
                f"the server at {self.url} broke off its answer ({type(error).__name__}); "
                "look at its log.",
            )
        if isinstance(error, httpx.HTTPError | OSError) or _is_half_a_line(error):
            return EngineDownError(
                NAME,
                f"cannot talk to the server at {self.url}; start it with `ollama serve`, or set "
                "external_llm.base_url.",
            )
        return EngineGarbledError(
            NAME,
            f"{self.url} does not answer like an Ollama server ({type(error).__name__}); is "
            "another program at that port (external_llm.base_url)?",
        )

    def _too_big(self, text: str, need: str | None, have: str | None) -> ModelTooBigError:
        needed, free = parse_bytes(need), parse_bytes(have)
        why = (
            f"needs {gigabytes(needed)} of memory and {gigabytes(free)} are free"
            if needed and free
            else f"does not fit into the server's memory ({_line(text)})"
        )
        return ModelTooBigError(
            NAME,
            f"{self.model} {why} on {self.url}; use a smaller model or quantisation, or a "
            f"shorter external_llm.context_window (now {self.context}).",
            need=needed,
            have=free,
        )

    def _overflow(self, text: str) -> ContextOverflowError:
        need = re.search(r"(\d+) tokens", text)
        return self.overflow(int(need[1]) if need else None)

    def overflow(self, need: int | None, least: str = "") -> ContextOverflowError:
        has = f"has {least}{need} tokens" if need else "is too long"
        return ContextOverflowError(
            NAME,
            f"the conversation {has} and {self.context} fit; shorten it (prompt.history_turns), "
            "or raise external_llm.context_window.",
            need=need,
            have=self.context,
        )


def _is_half_a_line(error: Exception) -> bool:
    """Whether the first line ended within its JSON: the server stopped while it wrote."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    line = error.doc.strip()
    return line.startswith("{") and not line.endswith("}")


def parse_bytes(text: str | None) -> int | None:
    """``48.5 GiB`` in bytes; None when it says no size."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)i?B\s*", text or "")
    return int(float(found[1]) * _BYTES[found[2] or "B"]) if found else None


def gigabytes(size: int) -> str:
    """As Ollama's own list shows it: 10**9 bytes."""
    return f"{size / 1e9:.1f} GB"


def _line(text: str) -> str:
    """The server's words as one line of bearable length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 300 else flat[:300] + "..."
