"""What holds of the events of every call, whatever happens in it."""

from __future__ import annotations

from coda_voice_plugin.events import Caption, Flush, Held, ServerEvent, Speech


def nothing_stale_is_sent(events: list[ServerEvent]) -> None:
    """Of a turn that was cut, or that came before another."""
    flushed = current = 0
    for event in events:
        if isinstance(event, Flush):
            flushed = max(flushed, event.turn)
        elif isinstance(event, Speech | Caption):
            assert event.turn > flushed, "speech of an interrupted turn"
            assert event.turn >= current, "two voices at once"
            current = event.turn


def nothing_sounds_while_it_is_held(events: list[ServerEvent]) -> None:
    """A reply that stands still is silent, until it goes on or is cut."""
    held = 0
    for event in events:
        if isinstance(event, Held):
            assert bool(held) is not event.held
            held = event.turn if event.held else 0
        elif isinstance(event, Flush) and event.turn == held:
            held = 0
        elif isinstance(event, Speech):
            assert event.turn != held, "sound of a held reply"
