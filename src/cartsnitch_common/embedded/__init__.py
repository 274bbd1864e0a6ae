"""A real PostgreSQL and a real Valkey from wheels, for tests, demo and development.

    with start_servers() as servers:
        connect(servers.database_url, servers.redis_url)

Everything lies in one private directory and ends with the process that started
it, unless it is kept. CARTSNITCH_POSTGRES_BIN (a directory with ``initdb`` and
``postgres``) and CARTSNITCH_VALKEY_BIN (a ``valkey-server`` or ``redis-server``)
name other programs than those of the extra ``[embedded]``.
"""

from __future__ import annotations

from cartsnitch_common.embedded.identity import ProcessIdentity
from cartsnitch_common.embedded.kept import KeptServer, KeptServers, read_kept, stop_kept
from cartsnitch_common.embedded.postgres import PostgresServer
from cartsnitch_common.embedded.servers import EmbeddedServers, start_servers
from cartsnitch_common.embedded.valkey import ValkeyServer

__all__ = [
    "EmbeddedServers",
    "KeptServer",
    "KeptServers",
    "PostgresServer",
    "ProcessIdentity",
    "ValkeyServer",
    "read_kept",
    "start_servers",
    "stop_kept",
]
