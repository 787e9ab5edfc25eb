"""Coda's dashboard page: what is wrong with it, and how it is mended on the way to the browser.

Its files are not touched. What serves it is in ``dashboard.py``, imported when one starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from coda_voice_plugin import Host

SCRIPT = "coda-dashboard.js"
"""The one script that the page is given; it loads the others."""
CORE_PORT = 8765
"""Where the dashboard's script looks for Coda's WebSocket."""

_SERVER = "coda.interfaces.dashboard.server"
_FROM_ELSEWHERE = re.compile(
    r"""[ \t]*<(?:script|link)\b[^>]*\b(?:src|href)\s*=\s*["']https?://[^>]*>"""
    r"""(?:\s*</script>)?\n?"""
)
_MARKUP = re.compile(r"innerHTML\s*=\s*`[^`]*\$\{")
_PORT = re.compile(rf"(?<=:){CORE_PORT}\b")
_NARROW = re.compile(r"@media[^{]*max-width.*?grid-template-areas:(?P<areas>[^;}]*)", re.DOTALL)


class Source(Protocol):
    """What the dashboard asks about the voice; every value is looked up when it is needed."""

    @property
    def host(self) -> Host | None:
        """The voice that answers; None while there is none."""

    @property
    def why_not(self) -> str:
        """A sentence for a person: why there is no voice now, and what to do."""

    @property
    def websocket_port(self) -> int | None:
        """Where Coda's WebSocket really listens; None when it is off."""

    def report(self) -> Mapping[str, Any]:
        """More for ``/api/voice/status``: the repairs in force, the latency of late turns."""


class Patches(Protocol):
    """Keeps what it replaces, so that it can be put back."""

    def set(self, owner: Any, name: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class PageRepair:
    """A defect of the dashboard's page that is mended on the way to the browser."""

    name: str
    defect: str
    found: Callable[[str, str], bool]
    """Whether the texts of ``index.html`` and ``dashboard.js`` have it."""


def _cramped(page: str) -> bool:
    narrow = _NARROW.search(page)
    return narrow is not None and "chat" not in narrow["areas"]


def _astray(page: str, script: str) -> bool:
    """Whether new messages are put before an indicator that does not stand among them."""
    _, _, behind = page.partition('id="chatMessages"')
    between, found, _ = behind.partition('id="typingIndicator"')
    inside = between.count("<div") > between.count("</div")
    return bool(found) and not inside and "chatMessages.insertBefore(" in script


PAGE_REPAIRS = (
    PageRepair(
        "dashboard-offline",
        "The page takes Chart.js and its icons from servers elsewhere: without internet its "
        "script stops with 'Chart is not defined' before it has connected.",
        lambda page, script: bool(_FROM_ELSEWHERE.search(page)) and "new Chart(" in script,
    ),
    PageRepair(
        "dashboard-chat",
        "Chat messages are put before an element that is elsewhere on the page, which fails with "
        "NotFoundError: none is shown, and none is sent.",
        _astray,
    ),
    PageRepair(
        "dashboard-html",
        "What the assistant writes goes into the page as HTML, where it can run as a script.",
        lambda page, script: bool(_MARKUP.search(script)),
    ),
    PageRepair(
        "dashboard-port",
        f"The page looks for Coda's WebSocket at port {CORE_PORT}, whatever the settings say.",
        lambda page, script: bool(_PORT.search(script)),
    ),
    PageRepair(
        "dashboard-phone",
        "On a narrow screen the chat has no place in the page's grid and pushes it aside.",
        lambda page, script: _cramped(page),
    ),
)
"""What is wrong with the page of the core; each can be switched off by its name."""
GUARD = PageRepair(
    "any-web-page-may-post",
    "Any page that is open in the user's browser may send messages to the chat over HTTP.",
    lambda page, script: True,  # it is the server that does not ask who sends
)
DASHBOARD_REPAIRS = (*PAGE_REPAIRS, GUARD)


def page_defects() -> tuple[PageRepair, ...]:
    """Those of :data:`DASHBOARD_REPAIRS` that the installed core needs."""
    folder = Path(str(import_module(_SERVER).__file__)).parent
    texts = [(folder / name).read_text("utf-8") for name in ("index.html", "dashboard.js")]
    return (*found_in(*texts), GUARD)


def mend_page(page: str, wanted: Collection[str]) -> str:
    """The text of ``index.html`` with our script, mended where ``wanted`` names a repair."""
    if "dashboard-offline" in wanted:
        page = _FROM_ELSEWHERE.sub("", page)
    query = f"?mend={','.join(sorted(wanted))}" if wanted else ""
    tag = f'<script type="module" src="voice/{SCRIPT}{query}"></script>\n'
    before, body, after = page.rpartition("</body>")
    return f"{before}{tag}{body}{after}" if body else page + tag


def mend_script(script: str, wanted: Collection[str], port: int | None) -> str:
    """The text of ``dashboard.js``, mended where ``wanted`` names a repair."""
    if "dashboard-port" in wanted and port is not None:
        script = _PORT.sub(str(port), script)
    return script


def patch_dashboard(patches: Patches, source: Source, *, off: Collection[str] = ()) -> None:
    """Give every dashboard that starts from now on a voice; ``off`` names unwanted repairs.

    The dashboard's application gets a :class:`Door` under :data:`DOOR`, which hangs up when
    the dashboard stops.
    """
    owner = import_module(_SERVER).CodaDashboardServer
    set_up = owner._setup_routes

    def _setup_routes(dashboard: Any) -> None:
        from .dashboard import Speaking

        # aiohttp takes the first route that matches
        Speaking(dashboard, source, frozenset(off)).add_routes()
        set_up(dashboard)

    patches.set(owner, "_setup_routes", _setup_routes)


def found_in(page: str, script: str) -> tuple[PageRepair, ...]:
    return tuple(repair for repair in PAGE_REPAIRS if repair.found(page, script))
