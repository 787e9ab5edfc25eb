"""``docs/settings.md``, made from the model: ``python -m coda_voice_plugin.config.reference``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from . import coda
from .live import LIVE
from .schema import Setting, sections, settings
from .sizes import format_size

_INTRODUCTION = """\
# Settings

Made from `coda_voice_plugin/config/model.py` by `python -m coda_voice_plugin.config.reference`;
a test holds it up to date.

All settings live in the `voice:` section of a YAML file: a file of your own, or Coda's, whose other
sections are left alone. Each can be given in several places; a later one wins:

| place | example |
| --- | --- |
| default | the tables below |
| preset | `--preset cpu`; the files in `configs/` |
| file | `--config FILE`, with `voice:` at the top |
| environment | `CODA_VOICE__TURN__CONFIRM_MS=500` |
| command line | `--set turn.confirm_ms=500` |

Values in the environment and on the command line are YAML: `true`, `8`, `null`, `[hub, index]`.
`coda-voice config show` prints every value and where it came from. A key that does not exist, or
a value that is not allowed, stops the start; all of them are named at once, with file and line.

Sizes such as `8GB`, `512 MB` and `20GiB` are understood; GB and GiB are both 1024^3 bytes, as Coda
and the makers of GPUs count.

**Live**: `yes` holds for new calls as soon as the settings are read again (SIGHUP or
`POST /admin/reload`); the others need a restart.
"""

_CODA = """\
## Coda's own keys

The `voice:` section of a Coda 2.0 file is read as it is. These keys are Coda's alone:

| key | what becomes of it |
| --- | --- |
"""

_REFUSED = """
These values of Coda's are refused, each with its reason:

| key | value | why |
| --- | --- | --- |
"""

_DAMAGE = """
Model names into which a formatter has put spaces (`kyutai / moshiko - pytorch - bf16`,
`llama3.1:70b - instruct - q4_K_M`, `large - v3`) are refused, and the error shows the name without
them. YAML tags that run Python code (`!!python/object/apply:...`, in some of Coda's files) are
refused too; the error shows the plain value to write.
"""


def settings_reference() -> str:
    """Return the reference of all settings as Markdown."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield _INTRODUCTION
    for path, model in sections().items():
        own = [setting for setting in settings().values() if setting.path[:-1] == path]
        name = ".".join(path)
        yield f"\n## {f'`{name}`: ' if path else ''}{_first_line(model.__doc__)}\n\n"
        yield "| key | default | takes | live | meaning |\n| --- | --- | --- | --- | --- |\n"
        yield from map(_row, own)
    yield "\n" + _CODA
    for key, fate in coda.KEYS.items():
        yield f"| `{key}` | {fate} |\n"
    yield _REFUSED
    for key, reasons in coda.REASONS.items():
        for value, why in reasons.items():
            yield f"| `{key}` | {f'`{value}`' if value else 'any other'} | {_cell(why)} |\n"
    yield _DAMAGE


def _row(setting: Setting) -> str:
    live = "yes" if setting.key in LIVE else ""
    meaning = _cell(re.sub(r"\bNone\b", "`null`", setting.meaning.replace("``", "`")))
    return (
        f"| `{setting.key}` | {_default(setting)} | {_cell(setting.allowed)} | {live} "
        f"| {meaning} |\n"
    )


def _default(setting: Setting) -> str:
    value: Any = setting.default
    if setting.key == "prompt.system":
        return "a few sentences"  # `coda-voice config show` prints them
    if setting.is_size and value:
        value = format_size(value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0].rstrip(".").replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
