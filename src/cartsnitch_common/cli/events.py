"""`cartsnitch events`: relay, publish, watch, and settle what went wrong."""

from __future__ import annotations

import typer

from cartsnitch_common.cli import events_dead_letters
from cartsnitch_common.cli.events_acl import acl
from cartsnitch_common.cli.events_lag import lag
from cartsnitch_common.cli.events_publish import publish
from cartsnitch_common.cli.events_relay import relay
from cartsnitch_common.cli.events_replay import replay
from cartsnitch_common.cli.events_tail import tail

app = typer.Typer(help="The event bus: relay, publish, watch and settle.", no_args_is_help=True)

for command in (relay, tail, publish, replay, lag, acl):
    app.command()(command)
app.add_typer(events_dead_letters.app, name="dead-letters")
