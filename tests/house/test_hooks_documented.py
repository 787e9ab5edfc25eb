"""docs/hooks.md and tests/plugins/ know every hook."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest
from tree import ROOT

from coda_voice_plugin import hookspecs

HOOKS = {
    name: value
    for name, value in vars(hookspecs).items()
    if hasattr(value, f"{hookspecs.GROUP}_spec")
}
TEXT = (ROOT / "docs" / "hooks.md").read_text()
TESTS = "".join(path.read_text() for path in (ROOT / "tests" / "plugins").glob("test_*.py"))
KINDS = ("give", "ask", "tell")


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(name: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    title = f"## `{name}({arguments})`\n"
    assert title in TEXT
    section = TEXT.split(title)[1].split("\n## ")[0]
    assert any(f"*{kind}*" in section for kind in KINDS)
    assert "```python\n" in section, "an example is missing"


def test_no_hook_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"^## `(\w+)\(", TEXT, re.MULTILINE)) == HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test_named_after_it(name: str) -> None:
    assert re.search(rf"def test_hook_{name}\b", TESTS)


@pytest.mark.parametrize("hook", HOOKS.values(), ids=list(HOOKS))
def test_every_hook_says_in_a_sentence_what_it_is_for(hook: Callable[..., object]) -> None:
    assert (hook.__doc__ or "").rstrip().endswith(".")


def test_the_examples_of_the_documentation_are_valid_hooks() -> None:
    """Each block is a module of its own; pluggy checks names and arguments."""
    from types import ModuleType

    from coda_voice_plugin import Plugins

    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= len(HOOKS)
    for number, source in enumerate(blocks):
        module = ModuleType(f"example_{number}")
        exec(compile(source, f"docs/hooks.md, block {number}", "exec"), module.__dict__)
        plugins = Plugins()
        plugins.add(module, module.__name__)
        plugins.collect()
