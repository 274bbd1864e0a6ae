"""redis-py's connections for asyncio: what they notice, and what they tell.

asyncio of CPython 3.12 and 3.13.0 answers ``writelines`` on a transport that was cut with an
AttributeError from its insides, which nobody takes for an outage. So a connection looks whether
it was cut before it writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import AskError, MovedError, ResponseError

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


class OnItsWayError(ResponseError):
    """a node gives the slot away, and the key is at another one already.

    Attributes:
        host: The other node's.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__("the slot is on its way to another node")
        self.host = host
        self.port = port


class NodeConnection(ServerConnection):
    """A connection to a node of a Cluster."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """See redis-py, which would answer to ASK by any two connections of the other node."""
        try:
            return await super().read_response(*args, **options)
        except MovedError:  # redis-py's kind of AskError
            raise
        except AskError as error:
            asked = OnItsWayError(error.host, error.port)
        raise asked


class TlsNodeConnection(NodeConnection, SSLConnection):
    """A connection with TLS to a node of a Cluster."""


class MasterConnection(ServerConnection, SentinelManagedConnection):
    """A connection to the master that Sentinels name."""


class TlsMasterConnection(ServerConnection, SentinelManagedSSLConnection):
    """A connection with TLS to the master that Sentinels name."""
