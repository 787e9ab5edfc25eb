"""The terminal door: parse, call one function, print.

Exit codes: 0 done, 1 a :class:`~coda_voice_plugin.errors.VoiceError` (one line on
stderr), 2 a wrong command line, 130 Ctrl-C. Any other exception is a fault of this
package and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from .group import Commands

EXAMPLES = """\b
Examples:
  coda-voice serve                      the page, on http://127.0.0.1:8766/
  coda-voice talk question.wav -o answer.wav
  coda-voice check                      is everything in place?
  coda-voice doctor                     what is wrong, and what to do about it?
  coda-voice config show                every setting and where it came from
  coda-voice COMMAND --help
"""


@click.group(
    cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
def cli() -> None:
    """Speak with a local model: hear, think and answer on this machine."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    from ..errors import VoiceError

    try:
        code = cli.main(list(arguments), prog_name="coda-voice", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except VoiceError as error:
        _say(error)
        return 1
    except ExceptionGroup as group:
        # a task group wraps even a single error of one of its tasks
        known, rest = group.split(VoiceError)
        if known is None or rest is not None:
            raise
        _say(known)
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone; point stdout elsewhere so that the
        # interpreter's own flush at exit does not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _say(error: BaseException) -> None:
    """Print an error that was raised on purpose, a line for each fault."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _say(inner)
        return
    for line in str(error).splitlines():
        click.echo(f"coda-voice: {line}", err=True)


def main() -> None:
    """Entry point of ``coda-voice``."""
    sys.exit(run(sys.argv[1:]))
