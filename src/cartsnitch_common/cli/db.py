"""`cartsnitch db`: bring the schema to a revision, compare it, write the first rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy import NullPool

from cartsnitch_common.cli.db_grants import grants
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import sync_engine, sync_sessions
from cartsnitch_common.db.seed import STORES, seed_stores

app = typer.Typer(
    help="The schema, in the database that CARTSNITCH_DATABASE_URL names.", no_args_is_help=True
)
app.command()(grants)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
def upgrade(
    *,
    revision: Annotated[
        str, typer.Argument(help="The revision to stop at, such as 0001_stores.")
    ] = "head",
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that the database lacks.

    Several may run at once: one works, the others wait for it. A migration that
    fails is rolled back, and those before it stay.
    """

    def show(applied: migrate.Revision) -> None:
        if not as_json:
            typer.echo(f"applied {applied.id}: {applied.title}")

    result = migrate.upgrade(Settings.load(), revision, on_applied=show)
    if as_json:
        typer.echo(json.dumps(asdict(result)))
    else:
        typer.echo(f"the database is at revision {result.after or 'none'}")


@app.command()
def check(*, as_json: AsJson = False) -> None:
    """Say whether the schema is the one of this version. Exit code 1 if it is not."""
    status = migrate.check(Settings.load())
    if as_json:
        facts = asdict(status) | {"at_head": status.is_at_head, "ahead": status.is_ahead}
        typer.echo(json.dumps(facts))
    elif status.is_at_head:
        typer.echo(f"at head: {status.head}")
    elif status.is_ahead:
        typer.echo(f"ahead: {status.current} is not known here, the head is {status.head}")
    else:
        count = len(status.pending)
        typer.echo(f"behind by {count}: at {status.current or 'none'}, the head is {status.head}")
    if not status.is_at_head:
        raise typer.Exit(1)


@app.command()
def seed(*, as_json: AsJson = False) -> None:
    """Write the stores that are missing: Meijer, Kroger and Target. May be repeated."""
    settings = Settings.load()
    migrate.require_schema(settings)
    with sync_sessions(sync_engine(settings, poolclass=NullPool)).begin() as session:
        written = seed_stores(session)
    if as_json:
        typer.echo(json.dumps({"written": written, "stores": len(STORES)}))
    else:
        typer.echo(f"{len(written)} of {len(STORES)} stores written, the others were there")
