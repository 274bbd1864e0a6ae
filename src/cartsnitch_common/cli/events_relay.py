"""`cartsnitch events relay`: from the outbox to Redis, until it is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cartsnitch_common.cli.servers import stopped_by_signals
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import check_database
from cartsnitch_common.errors import SetupError
from cartsnitch_common.events.client import check_redis
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cartsnitch_common.events.observe import Observer

_LOOPBACK: Final = "127.0.0.1"


def relay(
    *,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Serve metrics for Prometheus; 0 for any port."
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(metavar="HOST", help="The address that metrics are served on.")
    ] = _LOOPBACK,
) -> None:
    """Publish what services write to the outbox, until SIGTERM or SIGINT.

    Any number may run, and they share the work.
    """
    asyncio.run(_relay(Settings.load(), metrics_port, metrics_host))


async def _relay(settings: Settings, port: int | None, host: str) -> None:
    # A server that cannot be reached at all is the operator's mistake, and said at
    # once; one that goes away later comes back, and is waited for.
    await check_database(settings)
    await check_redis(settings)
    stop = asyncio.Event()
    with _metrics(port, host) as observer, stopped_by_signals(stop):
        typer.echo("relaying until SIGTERM or SIGINT", err=True)
        await Relay(settings, observer=observer).run(stop)


@contextmanager
def _metrics(port: int | None, host: str) -> Iterator[Observer]:
    """An observer whose figures are served meanwhile, if a port is given.

    Raises:
        MissingExtraError: The extra ``metrics`` is not installed.
        SetupError: The address cannot be listened on.
    """
    if port is None:
        yield SILENT
        return
    from cartsnitch_common.events.metrics import PrometheusObserver  # noqa: I001, PLC0415 - an extra
    from prometheus_client import start_http_server  # noqa: PLC0415

    observer = PrometheusObserver()
    try:
        server, thread = start_http_server(port, host)
    except (OSError, UnicodeError) as error:  # a host may be no name
        reason = f"metrics cannot be served there ({type(error).__name__})"
        raise SetupError(f"--metrics-port: {reason}") from None
    typer.echo(f"metrics on http://{host}:{server.server_port}/metrics", err=True)
    try:
        yield observer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
