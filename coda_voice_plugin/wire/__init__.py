"""Protocols: events to bytes and back. Nothing here reads or writes a socket."""
