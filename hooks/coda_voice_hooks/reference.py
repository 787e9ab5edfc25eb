"""The tables of ``docs/coda.md``, made from the code:
``python -m coda_voice_hooks.reference docs/coda.md`` writes them into the file.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .pages import DASHBOARD_REPAIRS
from .repairs import IMPORTS, REPAIRS
from .settings import CodaSettings


def fill(text: str) -> str:
    """``text`` with each table between its marks made anew."""
    for name, rows in (("settings", settings()), ("repairs", repairs())):
        mark = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        table = "".join(rows)
        text = mark.sub(lambda found, made=table: found[1] + made + found[2], text)  # type: ignore[misc]
    return text


def settings() -> Iterator[str]:
    """Every setting of the hooks."""
    yield "| key | default | meaning |\n| --- | --- | --- |\n"
    for name, field in CodaSettings.model_fields.items():
        meaning = " ".join((field.description or "").split())
        meaning = re.sub(r"\bNone\b", "`null`", meaning)
        default = field.get_default(call_default_factory=True)
        yield f"| `{name}` | `{json.dumps(default)}` | {meaning} |\n"


def repairs() -> Iterator[str]:
    """Every repair, in the order in which they are made, and what one sees without it."""
    yield "| name | without it |\n| --- | --- |\n"
    for name, defect in IMPORTS.items():
        yield _row(name, defect)
    for each in REPAIRS:
        yield _row(each.name, each.defect)
    for page in DASHBOARD_REPAIRS:
        yield _row(page.name, page.defect)


def _row(name: str, defect: str) -> str:
    text = " ".join(defect.split()).replace("|", "\\|")
    return f"| `{name}` | {text} |\n"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(fill(document.read_text(encoding="utf-8")), encoding="utf-8")
