"""The command tree."""

from __future__ import annotations

from typing import Annotated

import typer

from cartsnitch_common import __version__
from cartsnitch_common.cli import db, events
from cartsnitch_common.cli.demo.command import demo

app = typer.Typer(
    name="cartsnitch",
    help="Work with what CartSnitch's services share: the schema and the events.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(db.app, name="db")
app.add_typer(events.app, name="events")
app.command()(demo)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer passes it by place
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options that stand before the command."""
    del version  # its callback has done everything
