"""JSON Schema of every text message of ``coda.voice.v1``, made of the table that reads them.

``python -m coda_voice_plugin.wire.schema > docs/protocol.schema.json`` writes it down.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .voice_table import CLIENT, SERVER, SUBPROTOCOL


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12. ``$defs`` has each message under its type, and ``client`` and
    ``server``: what each of them may send."""
    sides = {"client": CLIENT, "server": SERVER}
    either: dict[str, Any] = {
        side: {
            "description": f"What {table.sender} may send.",
            "oneOf": [{"$ref": f"#/$defs/{name}"} for name in table.types],
        }
        for side, table in sides.items()
    }
    messages = {form.name: form.schema() for table in sides.values() for form in table}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SUBPROTOCOL,
        "description": (
            "The text messages of both directions. They are valid Unicode: no half surrogate "
            "pairs. Binary messages are sound, see protocol.md."
        ),
        "oneOf": [{"$ref": f"#/$defs/{side}"} for side in either],
        "$defs": either | messages,
    }


def document() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
