"""Both servers together, as tests and the demonstration use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from cartsnitch_common.embedded.kept import write_state
from cartsnitch_common.embedded.names import BOTH
from cartsnitch_common.embedded.postgres import PostgresServer
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
from cartsnitch_common.embedded.server import READY_TIMEOUT, system_errors
from cartsnitch_common.embedded.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class EmbeddedServers:
    """A PostgreSQL and a Valkey that run, in one private directory.

    Attributes:
        postgres: The database server.
        valkey: The Redis-compatible server.
    """

    def __init__(
        self, runtime: RuntimeDirectory, postgres: PostgresServer, valkey: ValkeyServer
    ) -> None:
        """Take over what ``start_servers`` started."""
        self._runtime = runtime
        self.postgres = postgres
        self.valkey = valkey

    @property
    def database_url(self) -> str:
        """The address of the database, with its password. A secret."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """The address of Valkey, with its password. A secret."""
        return self.valkey.url

    @property
    def directory(self) -> Path:
        """The private directory that holds their data and logs."""
        return self._runtime.path

    def keep(self) -> Path:
        """Let the servers outlive this process.

        From here on this object only tells their addresses: ``stop_kept`` ends
        them and removes their directory, from any process of the same user.

        Returns:
            The directory, for ``stop_kept``.
        """
        write_state(self._runtime, self.postgres, self.valkey)
        self._runtime.guard.keep()
        return self.directory

    def close(self) -> None:
        """End both servers and remove everything they made. May be repeated."""
        self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def start_servers(
    *,
    durable: bool = False,
    append_only: bool | Literal["always", "everysec"] = True,
    max_connections: int = 150,
    postgres_settings: Mapping[str, str] | None = None,
    directory: Path | None = None,
    ready_timeout: float = READY_TIMEOUT,
) -> EmbeddedServers:
    """Start a new PostgreSQL and a new Valkey, and wait until both answer.

    They end with this process, however it ends, unless they are kept. Use the
    result as a context manager, or call its ``close``.

    Args:
        durable: Whether PostgreSQL flushes to the disk. See ``PostgresServer``.
        append_only: What Valkey writes to its file. See ``ValkeyServer``.
        max_connections: How many clients PostgreSQL takes at once.
        postgres_settings: More settings of PostgreSQL. No secrets.
        directory: Where to make the private directory, by default the temporary
            directory, or another if the servers' account cannot enter that.
        ready_timeout: Seconds that each server may take.

    Raises:
        MissingExtraError: the servers' wheels are not installed, nor other
            programs named by CARTSNITCH_POSTGRES_BIN and CARTSNITCH_VALKEY_BIN.
        SettingError: one of these settings names no such program.
        EmbeddedServerError: a server did not start. Nothing is left behind.
    """
    with system_errors(BOTH):
        runtime = RuntimeDirectory.create(directory)
        try:
            valkey = ValkeyServer(runtime, append_only=append_only, ready_timeout=ready_timeout)
            postgres = PostgresServer(
                runtime,
                durable=durable,
                max_connections=max_connections,
                settings=postgres_settings,
                ready_timeout=ready_timeout,
            )
            # Valkey gets ready while PostgreSQL makes its cluster.
            valkey.begin()
            postgres.begin()
            valkey.wait_ready()
            postgres.wait_ready()
        except BaseException:
            runtime.close()
            raise
    return EmbeddedServers(runtime, postgres, valkey)
