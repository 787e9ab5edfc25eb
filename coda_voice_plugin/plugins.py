"""Finds, checks and calls plugins, and knows whose fault it is.

Built-ins come through the same entry points as everybody's (group
``coda_voice``). Set ``CODA_VOICE_TRACE=1`` to log every hook call.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn, TypeVar

import pluggy

from . import hookspecs
from .engine import Engine, LanguageModel, SpeechToText, TextToSpeech
from .errors import PluginError, UnknownNameError
from .hookspecs import GROUP, Check
from .strategy import Strategy

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=type)

_REGISTERS: tuple[tuple[str, str, type], ...] = (
    ("strategy", "register_strategies", Strategy),
    ("stt", "register_stt", SpeechToText),
    ("tts", "register_tts", TextToSpeech),
    ("llm", "register_llms", LanguageModel),
)


class Plugins:
    """Every loaded guest, and what the guests registered by kind and name."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.kinds: dict[str, dict[str, type]] = {kind: {} for kind, _, _ in _REGISTERS}
        self.protocols: dict[str, Callable[..., object]] = {}
        self.owners: dict[tuple[str, str], str] = {}
        """Plugin name by (kind, registered name)."""
        self.failures: Counter[tuple[str, str]] = Counter()
        """Failed or late hook calls by (plugin, hook)."""
        self._trace = os.environ.get("CODA_VOICE_TRACE") == "1"

    def add(self, plugin: object, name: str) -> None:
        """Register one plugin object; raises PluginError with its name."""
        try:
            self.manager.register(plugin, name=name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin {name!r} is not valid: {error}") from error

    def collect(self) -> None:
        """Check every plugin and ask each what it offers."""
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"unknown hook: {error}") from error
        for name, plugin in self.manager.list_name_plugin():
            self._check_hooks(name, plugin)
        for kind, hook, base in _REGISTERS:
            self._give(hook, kind, base)
        self._give_protocols()

    def names(self, kind: str) -> list[str]:
        return sorted(self.kinds[kind])

    def find(self, kind: str, name: str) -> type:
        """The class registered under ``name``; raises UnknownNameError."""
        try:
            return self.kinds[kind][name]
        except KeyError:
            raise UnknownNameError(kind, name, self.kinds[kind]) from None

    def strategy(self, name: str) -> type[Strategy]:
        return self.find("strategy", name)

    def engine(self, kind: str, name: str) -> type[Engine]:
        return self.find(kind, name)

    def give_commands(self, cli: Any) -> None:
        """Let plugins add commands to the terminal door."""
        for impl in self.manager.hook.register_commands.get_hookimpls():
            self._blame("register_commands", impl, cli=cli)

    def checks(self, **given: object) -> Iterator[tuple[str, Check]]:
        """Title and check of everything that plugins offer to the doctor.

        Where a plugin fails to offer any, its check raises that PluginError: one broken
        plugin must not keep the others' findings from the user.
        """
        for impl in self.manager.hook.register_checks.get_hookimpls():
            offered: list[tuple[str, Check]] = []
            try:
                self._blame("register_checks", impl, register=_Offers(impl, offered), **given)
            except PluginError as error:
                offered.append((impl.plugin_name, _Failed(error)))
            yield from offered

    async def tell(self, hook_name: str, **arguments: object) -> None:
        """Tell every plugin, one after another; one that fails is logged and skipped."""
        for impl in self._impls(hook_name):
            await self._call(hook_name, impl, arguments, None)

    async def ask(self, hook_name: str, deadline: float, **arguments: object) -> list[Any]:
        """Ask all plugins side by side; leave out who is late, fails or answers None."""
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._call(hook_name, impl, arguments, deadline))
                for impl in self._impls(hook_name)
            ]
        answers = (task.result() for task in asked)
        return [answer for answer in answers if answer is not None]

    def listens(self, hook_name: str) -> bool:
        """Whether any plugin implements this hook."""
        return bool(self._impls(hook_name))

    def _impls(self, hook_name: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook_name)
        # pluggy lists the last registered last and calls it first (LIFO)
        return list(reversed(caller.get_hookimpls()))

    async def _call(
        self,
        hook_name: str,
        impl: pluggy.HookImpl,
        arguments: dict[str, object],
        deadline: float | None,
    ) -> Any:
        began = time.perf_counter()
        patience = asyncio.timeout(deadline)
        try:
            async with patience:
                outcome = impl.function(*(arguments[name] for name in impl.argnames))
                if inspect.isawaitable(outcome):
                    outcome = await outcome
        except asyncio.CancelledError:
            # Ours is passed on. One that the guest made itself (it awaited something
            # that was cancelled) is a failure like any other.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(impl, hook_name)
        except Exception:  # noqa: BLE001 - a guest must not end the conversation
            if not patience.expired():
                return self._failed(impl, hook_name)
            self.failures[impl.plugin_name, hook_name] += 1
            logger.warning("plugin %r is late in %s; left out", impl.plugin_name, hook_name)
            return None
        if self._trace:
            took = 1000 * (time.perf_counter() - began)
            logger.warning("trace: %s -> %r in %.2f ms", hook_name, impl.plugin_name, took)
        return outcome

    def _failed(self, impl: pluggy.HookImpl, hook_name: str) -> None:
        """Count and log the exception that is being handled."""
        self.failures[impl.plugin_name, hook_name] += 1
        logger.exception("plugin %r failed in %s", impl.plugin_name, hook_name)

    def _check_hooks(self, name: str, plugin: object) -> None:
        """Refuse what pluggy allows and we do not call as its author means it."""
        for caller in self.manager.get_hookcallers(plugin) or ():
            impl = next(impl for impl in caller.get_hookimpls() if impl.plugin is plugin)
            if impl.wrapper or impl.hookwrapper:
                raise PluginError(f"plugin {name!r}: {caller.name} cannot be a hook wrapper.")
            if caller.name.startswith("register_") and inspect.iscoroutinefunction(impl.function):
                raise PluginError(f"plugin {name!r}: {caller.name} cannot be async.")

    def _give(self, hook_name: str, kind: str, base: type) -> None:
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook_name)
        for impl in caller.get_hookimpls():

            def register(offered: type, owner: str = impl.plugin_name) -> None:
                self._accept(kind, base, offered, owner)

            self._blame(hook_name, impl, register=register)

    def _give_protocols(self) -> None:
        for impl in self.manager.hook.register_protocols.get_hookimpls():

            def register(
                path: str, handler: Callable[..., object], owner: str = impl.plugin_name
            ) -> None:
                if not (isinstance(path, str) and path.startswith("/") and callable(handler)):
                    raise PluginError(
                        f"plugin {owner!r}: register_protocols takes a path such as "
                        f'"/v1/mine" and a handler, not {path!r} and {handler!r}.'
                    )
                self._own("protocol", path, owner)
                self.protocols[path] = handler

            self._blame("register_protocols", impl, register=register)

    def _accept(self, kind: str, base: type, offered: type, owner: str) -> None:
        if not (isinstance(offered, type) and issubclass(offered, base)):
            raise PluginError(
                f"plugin {owner!r} registered {offered!r} as {kind}: "
                f"it is not a subclass of {base.__name__}."
            )
        name = getattr(offered, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f'plugin {owner!r}: {offered.__name__} needs `name = "..."`.')
        if inspect.isabstract(offered):
            lacking = ", ".join(sorted(getattr(offered, "__abstractmethods__", ())))
            raise PluginError(f"plugin {owner!r}: {offered.__name__} lacks {lacking}.")
        self._own(kind, name, owner)
        if self.kinds[kind].setdefault(name, offered) is not offered:
            raise PluginError(f"plugin {owner!r} registers the {kind} {name!r} twice.")

    def _own(self, kind: str, name: str, owner: str) -> None:
        other = self.owners.setdefault((kind, name), owner)
        if other != owner:
            raise PluginError(
                f"plugins {other!r} and {owner!r} both register the {kind} {name!r}; "
                "disable one of them with plugins.disabled."
            )

    def _blame(self, hook_name: str, impl: pluggy.HookImpl, **arguments: object) -> None:
        """Call a *give* hook of one plugin; its failure stops start-up under its name."""
        if self._trace:
            logger.warning("trace: %s -> %r", hook_name, impl.plugin_name)
        try:
            impl.function(*(arguments[name] for name in impl.argnames))
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {impl.plugin_name!r} failed in {hook_name}: "
                f"{type(error).__name__}: {error}"
            ) from error


class _Offers:
    """What a plugin calls to offer a check."""

    def __init__(self, impl: pluggy.HookImpl, offered: list[tuple[str, Check]]) -> None:
        self._owner = impl.plugin_name
        self._offered = offered

    def __call__(self, title: str, check: Check) -> None:
        if not (isinstance(title, str) and title and callable(check)):
            raise PluginError(
                f'plugin {self._owner!r}: register_checks takes a title such as "Lamps" and a '
                f"function that yields findings, not {title!r} and {check!r}."
            )
        self._offered.append((title, check))


class _Failed:
    """The check of a plugin that could not offer one."""

    def __init__(self, error: PluginError) -> None:
        self._error = error

    def __call__(self) -> NoReturn:
        raise self._error


def load_plugins(disabled: Iterable[str] = (), extra: Iterable[tuple[str, object]] = ()) -> Plugins:
    """Load every installed plugin that is not disabled, and check it.

    ``extra`` are plugin objects by name that need no entry point (an application's
    own hooks). Raises PluginError naming the plugin and the fault.
    """
    plugins = Plugins()
    skip = set(disabled)
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value and entry.name not in skip:
            raise PluginError(
                f"two packages install a plugin named {entry.name!r} "
                f"({other.value} and {entry.value}); uninstall one of them."
            )
    unknown = skip - set(found) - {name for name, _ in extra}
    for name in sorted(unknown):
        logger.warning("plugins.disabled names %r, which is not installed", name)
    for name, entry in sorted(found.items()):
        if name in skip:
            continue
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:
            package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
            raise PluginError(
                f"plugin {name!r} ({entry.value}{package}) failed to load: "
                f"{type(error).__name__}: {error}. Mend it, uninstall it, or add it to "
                "plugins.disabled."
            ) from error
        plugins.add(plugin, name)
    for name, plugin in extra:
        if name not in skip:
            plugins.add(plugin, name)
    plugins.collect()
    return plugins
