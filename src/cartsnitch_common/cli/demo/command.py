"""`cartsnitch demo`: from receipts to alerts on real servers, in one command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.cli.demo.play import play
from cartsnitch_common.cli.demo.receipts import read_receipt, sample_receipts
from cartsnitch_common.cli.demo.report import show
from cartsnitch_common.config import Settings, setting_name
from cartsnitch_common.db import migrate
from cartsnitch_common.db.failures import connection_failure
from cartsnitch_common.embedded import EmbeddedServers, start_servers, stop_kept
from cartsnitch_common.errors import (
    CartsnitchError,
    DatabaseUnavailableError,
    ServerUnavailableError,
)
from cartsnitch_common.events.client import check_redis_sync, check_rights_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cartsnitch_common.cli.demo.result import DemoResult


_WIDTH: Final = 120
"""Unit: characters a line, where there is no terminal to ask."""


def demo(
    *,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(
            help="A further receipt, as JSON of cartsnitch.purchase.v1.Receipt. Repeatable.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
    keep: Annotated[
        bool, typer.Option(help="Leave the servers up and print how to connect.")
    ] = False,
    stop: Annotated[
        Path | None,
        typer.Option(help="Stop the servers that --keep left in this directory.", metavar="DIR"),
    ] = None,
) -> None:
    """Record sample receipts of three retailers and watch the services react.

    Starts its own PostgreSQL and Valkey, unless CARTSNITCH_DATABASE_URL and
    CARTSNITCH_REDIS_URL name servers: what is recorded there stays there.
    """
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=_WIDTH)
    if stop is not None:
        stop_kept(stop)
        console.print("stopped")
        return
    receipts = sample_receipts() + [read_receipt(path) for path in receipt or []]
    with _servers(keep=keep) as (settings, servers):
        try:
            result = asyncio.run(_run(settings, receipts, console, embedded=servers is not None))
        except asyncio.CancelledError:
            sys.exit(128 + signal.SIGTERM)
        _print_result(result, console, as_json=as_json)
        _print_ending(settings, servers, console, keep=keep)


async def _run(
    settings: Settings, receipts: list[Any], console: Console, *, embedded: bool
) -> DemoResult:
    _end_on_sigterm()
    with console.status("checking the servers") as status:
        status.update("migrating the database to head")
        await asyncio.to_thread(_prepare, settings)
        try:
            return await play(settings, receipts, embedded=embedded, say=status.update)
        except (BaseExceptionGroup, DatabaseUnavailableError, DBAPIError) as error:
            failure = _failure(error)
            if failure is None:
                raise
            raise failure from None


def _prepare(settings: Settings) -> None:
    # Redis first: a Redis that cannot be used leaves the database as it was.
    check_redis_sync(settings)
    check_rights_sync(settings)
    migrate.upgrade(settings)


def _failure(error: BaseException) -> CartsnitchError | None:
    """What a person is told: of relay, consumers and gateway together, the first failure."""
    match error:
        case DatabaseUnavailableError() | DBAPIError():
            return ServerUnavailableError(setting_name("database_url"), connection_failure(error))
        case CartsnitchError():
            return error
        case BaseExceptionGroup():
            return next(filter(None, map(_failure, error.exceptions)), None)
        case _:
            return None


@contextmanager
def _servers(*, keep: bool) -> Iterator[tuple[Settings, EmbeddedServers | None]]:
    """The servers that the environment names, or new ones that end with the block."""
    given = Settings.load()
    if given.database_url is not None and given.redis_url is not None:
        yield given, None
        return
    _raise_on_sigterm()
    with start_servers() as servers:
        settings = Settings.load(
            database_url=given.database_url or servers.database_url,
            redis_url=given.redis_url or servers.redis_url,
        )
        yield settings, servers
        if keep:
            servers.keep()


def _raise_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, so that the servers end and their files go."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _end_on_sigterm() -> None:
    """Let SIGTERM cancel the running play.

    A handler that raises would raise wherever the loop is, in the midst of a
    driver's callback too.
    """
    task = asyncio.current_task()
    if task is not None and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _print_result(result: DemoResult, console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.to_json(), indent=2))  # noqa: T201 - for a machine
        return
    servers = result.servers
    origin = "started for this run" if servers.embedded else "as the environment names them"
    console.print(f"PostgreSQL {servers.postgres} and {servers.redis}, {origin}")
    show(result, console)
    console.print()


def _print_ending(
    settings: Settings, servers: EmbeddedServers | None, console: Console, *, keep: bool
) -> None:
    if servers is None:
        console.print("The rows and events stay in your database and Redis.")
        return
    urls = {
        "database_url": (settings.require_database_url(), servers.database_url),
        "redis_url": (settings.require_redis_url(), servers.redis_url),
    }
    if any(used != made for used, made in urls.values()):
        console.print("What was written to the server that your environment names stays there.")
    if not keep:
        console.print("The servers end with this command, and what they wrote goes with them.")
        return
    # The one place where URLs with passwords are shown, of those that were made for this run.
    console.print("The servers stay up. Connect with:", highlight=False)
    for line in (
        *(
            f"  export {setting_name(name)}='{made}'"
            for name, (used, made) in urls.items()
            if used == made
        ),
        "Stop them with:",
        f"  {Path(sys.executable).with_name('cartsnitch')} demo --stop '{servers.directory}'",
    ):
        console.print(line, highlight=False, soft_wrap=True)
