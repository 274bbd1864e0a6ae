"""`cartsnitch db`: bring the schema to a revision, compare it, write the first rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy import NullPool

from cartsnitch_common.cli.db_grants import grants
from cartsnitch_common.cli.db_keys import keys, rotate_keys
from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.engine import sync_engine, sync_sessions
from cartsnitch_common.db.revisions import status_of
from cartsnitch_common.db.seed import STORES, seed_stores

app = typer.Typer(
    help="The schema, in the database that CARTSNITCH_DATABASE_URL names.", no_args_is_help=True
)

BEHIND, AHEAD, DRIFT = 4, 5, 6
"""Exit codes of ``check``."""


@app.command()
def upgrade(
    *,
    revision: Annotated[
        str, typer.Argument(help="The revision to stop at, such as 0001_stores or 0001.")
    ] = "head",
    as_json: AsJson = False,
) -> None:
    """Apply the migrations that the database lacks.

    Several may run at once: one works, the others wait for it. A migration that
    fails is rolled back, and those before it stay. A database that a newer version
    has migrated is left as it is, as long as it serves this one.
    """

    def show(applied: migrate.Revision) -> None:
        if not as_json:
            typer.echo(f"applied {applied.id}: {applied.title}")

    result = migrate.upgrade(Settings.load(), revision, on_applied=show)
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    is_ahead = status_of(result.after).is_ahead
    newer = ", which is newer than this version and still serves it" if is_ahead else ""
    typer.echo(f"the database is at revision {result.after or 'none'}{newer}")


@app.command()
def check(*, as_json: AsJson = False) -> None:
    """Say whether the schema is the one of this version, in every detail.

    At head, each difference from what the migrations made is named, one a line.
    Exit code 0 at head, 4 behind, 5 ahead, 6 at head but with differences.
    """
    settings = Settings.load()
    status = migrate.check(settings)
    drift = find_drift(settings) if status.is_at_head else ()
    if as_json:
        state = status.state if not drift else "drift"
        typer.echo(json.dumps(asdict(status) | {"state": state, "drift": drift}))
    elif drift:
        typer.echo("\n".join(f"drift: {difference}" for difference in drift))
    else:
        typer.echo(str(status))
    if drift or not status.is_at_head:
        raise typer.Exit(DRIFT if drift else BEHIND if status.pending else AHEAD)


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


app.command()(grants)
app.command()(keys)
app.command()(rotate_keys)
