"""The leases that one door has given: who may go on with which conversation."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ..errors import BusyError, TokenError
from ..events import Hello
from .lease import Lease, digest

if TYPE_CHECKING:
    from ..host import Host


class Leases:
    """The leases that one door has given."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._closing = False
        self._greeting = 0

    @contextmanager
    def greeting(self, host: Host) -> Iterator[None]:
        """One client more is waited for to say hello. Raises BusyError where no hello could
        get a place, and where as many as there are places are waited for already."""
        full = host.calls >= host.capacity and not self._awaited
        if full or self._greeting >= host.capacity:
            raise BusyError(host.capacity)
        self._greeting += 1
        try:
            yield
        finally:
            self._greeting -= 1

    @property
    def _awaited(self) -> bool:
        """Whether a caller may be one that comes back, or whether one may give way."""
        return any(lease.token for lease in self._leases.values())

    async def find(self, host: Host, hello: Hello) -> Lease | None:
        """The lease that goes on with ``hello``; None for one that begins.

        Raises TokenError when the client may not go on with the session it names.
        """
        name = hello.session
        if name is None:
            return None
        lease = self._leases.get(name)
        if lease is not None and not lease.over.is_set():
            if hello.token and lease.token and _same(hello.token, lease.token):
                return lease
            if hello.token or lease.ours:
                raise TokenError(name)
            return None  # it is open to who knows its name, and taken over
        key = await host.store.key(name)
        if key is not None and not _same(digest(hello.token or ""), key):
            raise TokenError(name)
        return None

    @asynccontextmanager
    async def opened(self, host: Host, hello: Hello) -> AsyncIterator[Lease]:
        """A new lease with a :meth:`place` of its own while the block runs. Raises BusyError."""
        patience_s = host.config.server.lease_s if hello.resume and not self._closing else 0.0
        lease: Lease | None = None
        try:
            async with self.place(host):
                stored = hello.session and await host.store.key(hello.session)
                lease = Lease(host, hello, patience_s, ours=bool(hello.session is None or stored))
                self._leases[lease.session.id] = lease
                try:
                    yield lease
                finally:
                    if self._leases.get(lease.session.id) is lease:
                        del self._leases[lease.session.id]
        finally:
            if lease is not None:
                lease.freed.set()

    @asynccontextmanager
    async def place(self, host: Host) -> AsyncIterator[None]:
        """Hold one of the places of ``host`` while the block runs. Where all are taken, the
        session that was parked first gives way. Raises BusyError."""
        if host.calls >= host.capacity:
            await self._make_room()
        with host.admit():
            yield

    async def _make_room(self) -> None:
        parked = [lease for lease in self._leases.values() if lease.parked_at is not None]
        if parked:
            oldest = min(parked, key=lambda lease: lease.parked_at or 0.0)
            oldest.leave()
            await oldest.freed.wait()

    def close(self) -> None:
        """Nobody can come back any more; end those that wait for it."""
        self._closing = True
        for lease in list(self._leases.values()):
            lease.forsake()

    async def ended(self) -> None:
        """Wait until all have ended."""
        for lease in list(self._leases.values()):
            await lease.over.wait()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
