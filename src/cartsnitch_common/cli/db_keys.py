"""`cartsnitch db keys` and `rotate-keys`: which keys seal the sessions, and how that changes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import NullPool

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.crypto import Keyring
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.rotation import (
    BATCH_SIZE,
    RotationResult,
    count_outdated,
    rotate,
    rows_by_key,
)
from cartsnitch_common.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Engine


def keys(
    *,
    retire: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Ask whether this key may be removed from the setting."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many sessions each key of CARTSNITCH_ENCRYPTION_KEYS has sealed.

    Exit code 1 if sessions need a key that the setting lacks, or with --retire if the
    key is needed still: it seals new sessions, or has sealed some that are there; 2 if
    there is no such key.
    """
    keyring, engine = _opened()
    with engine.connect() as connection:
        rows = rows_by_key(connection)
    uses: dict[str | None, int] = {**dict.fromkeys(keyring.ids, 0), **rows}
    if retire is not None and retire not in uses:
        # Who mistypes an id would be told that the key they mean may go.
        raise InvalidFieldError("--retire", f"is none of the keys: {', '.join(filter(None, uses))}")
    missing = {key_id for key_id in rows if key_id not in keyring.ids}
    refused = _why_not(retire, keyring, uses) if retire is not None else None
    if as_json:
        listed = [
            {"id": key_id, "rows": count, "in_setting": key_id in keyring.ids}
            for key_id, count in uses.items()
        ]
        facts = {"encrypts": keyring.ids[0], "keys": listed}
        typer.echo(json.dumps(facts if retire is None else facts | {"refused": refused}))
    else:
        for key_id, count in uses.items():
            role = "encrypts" if key_id == keyring.ids[0] else "decrypts"
            role = "is not in the setting" if key_id in missing else role
            typer.echo(f"{key_id or 'no key'}: {count} rows, {role}")
        if retire is not None:
            typer.echo(refused or f"{retire} may be removed: no row needs it")
    if refused or (retire is None and missing):
        raise typer.Exit(1)


def rotate_keys(
    *,
    batch_size: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="Rows of one transaction.")
    ] = BATCH_SIZE,
    as_json: AsJson = False,
) -> None:
    """Seal every session with the first key of CARTSNITCH_ENCRYPTION_KEYS.

    May be stopped at any moment and run again, beside the programs that use the
    sessions. Rows that cannot be decrypted are named and stay as they are.
    Exit code 1 if there are such, or if others held rows all the while.
    """
    keyring, engine = _opened()
    with engine.connect() as connection:
        total = count_outdated(connection, keyring)
    with _progress(total, shown=not as_json) as advance:
        result = rotate(engine, keyring, batch_size=batch_size, on_batch=advance)
    with engine.connect() as connection:
        rows = rows_by_key(connection)
    if as_json:
        facts = asdict(result) | {"unreadable_ids": [str(row) for row in result.unreadable_ids]}
        typer.echo(json.dumps(facts | {"keys": {key_id or "": n for key_id, n in rows.items()}}))
    else:
        _print(result, keyring)
    if not result.is_complete:
        raise typer.Exit(1)


def _opened() -> tuple[Keyring, Engine]:
    # Counting reads every session, which may take longer than a service's statement may.
    settings = Settings.load().model_copy(update={"database_statement_timeout": 0.0})
    keyring = Keyring.from_settings(settings)
    migrate.require_schema(settings)
    return keyring, sync_engine(settings, poolclass=NullPool)


def _why_not(key_id: str, keyring: Keyring, uses: Mapping[str | None, int]) -> str | None:
    """Why a key may not be removed; None when it may."""
    if key_id == keyring.ids[0]:
        return f"{key_id} seals new sessions: put another key first"
    if uses.get(key_id):
        return f"{key_id} is needed by {uses[key_id]} rows: run `cartsnitch db rotate-keys`"
    return None


def _print(result: RotationResult, keyring: Keyring) -> None:
    typer.echo(f"{result.rotated} sessions are under {keyring.ids[0]} now")
    if result.unreadable:
        ids = ", ".join(str(row) for row in result.unreadable_ids)
        more = "" if len(result.unreadable_ids) == result.unreadable else ", ..."
        typer.echo(f"{result.unreadable} cannot be decrypted and stay as they are: {ids}{more}")
    if result.left:
        typer.echo(f"{result.left} were held or written by others: run it again")


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(console=console, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("sessions", total=total)
        yield lambda rows: progress.advance(task, rows)
