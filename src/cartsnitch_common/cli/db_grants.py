"""`cartsnitch db grants`: the roles, and what each may do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.config import Settings
from cartsnitch_common.db.grants import GrantsResult, apply_grants
from cartsnitch_common.db.role_statements import give, script, take
from cartsnitch_common.db.roles import OWNERSHIP


def grants(
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements; no database is needed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the services' roles, and give each the rights on its own tables.

    May be repeated, and run by several at once; what is right already is not touched.
    The roles cannot log in: make logins that are members of them. Needs the right to
    create roles, unless they are there, and the ownership of the tables.
    """
    if sql:
        _print_sql(as_json=as_json)
        return
    result = apply_grants(Settings.load())
    if as_json:
        typer.echo(json.dumps(_facts(result)))
    else:
        _print(result)


def _print_sql(*, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"statements": script()}))
    else:
        typer.echo("\n".join(["BEGIN;", *(f"{statement};" for statement in script()), "COMMIT;"]))


def _print(result: GrantsResult) -> None:
    for role in result.created:
        typer.echo(f"CREATE ROLE {role} NOLOGIN")
    for grant in result.given:
        if grant.privilege == OWNERSHIP:
            typer.echo(f"{grant.role} owns {grant.on} now")
    for statement in (*take(result.taken), *give(result.given)):
        typer.echo(statement)
    for grant in result.others:
        typer.echo(f"left as it is: {grant}, a role of others")
    changes = len(result.given) + len(result.taken)
    typer.echo(f"{changes} rights changed" if changes else "the rights were right already")


def _facts(result: GrantsResult) -> dict[str, list[str] | list[dict[str, str]]]:
    return {
        "created": list(result.created),
        "given": [grant._asdict() for grant in result.given],
        "taken": [grant._asdict() for grant in result.taken],
        "others": [grant._asdict() for grant in result.others],
    }
