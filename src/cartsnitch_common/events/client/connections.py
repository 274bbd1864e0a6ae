"""redis-py's connections for asyncio, made to notice that they were cut before they write.

asyncio of CPython 3.12 and 3.13.0 answers ``writelines`` on a transport that was cut with an
AttributeError from its insides, which nobody takes for an outage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

if TYPE_CHECKING:
    from collections.abc import Iterable


class ServerConnection(Connection):
    """A connection to a server."""

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        if self._writer is None or self._writer.transport.is_closing():
            raise ConnectionResetError("the connection was cut")  # redis-py makes it its own error
        await super()._send_packed_command(command)


class TlsConnection(ServerConnection, SSLConnection):
    """A connection with TLS to a server."""


class MasterConnection(ServerConnection, SentinelManagedConnection):
    """A connection to the master that Sentinels name."""


class TlsMasterConnection(ServerConnection, SentinelManagedSSLConnection):
    """A connection with TLS to the master that Sentinels name."""
