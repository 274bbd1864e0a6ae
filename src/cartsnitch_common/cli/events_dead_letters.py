"""`cartsnitch events dead-letters`: what consumers gave up on, looked at and settled."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from sqlalchemy import func, select

from cartsnitch_common.cli.options import AsJson
from cartsnitch_common.cli.servers import opened_redis, opened_sessions
from cartsnitch_common.cli.tables import print_table, progress
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType
from cartsnitch_common.contract.redaction import redacted
from cartsnitch_common.errors import CartsnitchError, DatabaseUnavailableError, SetupError
from cartsnitch_common.events import dead_letters as letters
from cartsnitch_common.events.texts import one_line

if TYPE_CHECKING:
    from sqlalchemy import Select

    from cartsnitch_common.db.models.event import DeadLetter

app = typer.Typer(
    help="Events that a consumer gave up on. Needs the database as the relay's role.",
    no_args_is_help=True,
)

Ids = Annotated[
    list[uuid.UUID] | None, typer.Argument(metavar="[ID]...", help="Dead letters, by their ids.")
]
OfConsumer = Annotated[
    str | None, typer.Option("--consumer", metavar="GROUP", help="Only those of this consumer.")
]
OfChannel = Annotated[EventType | None, typer.Option("--channel", help="Only of this channel.")]
All = Annotated[bool, typer.Option("--all", help="Instead of ids: all, or all of the options.")]

_FAILED: Final = 1
_DROPPED_AT_ONCE: Final = 500


@app.command("list")
def list_(
    *,
    consumer: OfConsumer = None,
    channel: OfChannel = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="The most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest first."""
    wanted = letters.select_letters(consumer=consumer, event_type=channel)
    found, total = asyncio.run(_list(Settings.load(), wanted, limit))
    facts = [_facts(letter) for letter in found]
    if as_json:
        typer.echo(json.dumps({"total": total, "dead_letters": facts}))
        return
    columns = ("id", "failed_at", "consumer", "event_type", "reason")
    rows = [[_cell(row[name]) for name in columns] for row in facts]
    print_table(f"{len(rows)} of {total} dead letters", columns, rows, whole=["id"])


@app.command()
def show(
    letter_id: Annotated[uuid.UUID, typer.Argument(metavar="ID", help="A dead letter.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its event, personal fields blotted out."""
    letter = asyncio.run(_show(Settings.load(), letter_id))
    envelope = letters.envelope_of(letter)
    event = None if envelope is None else redacted(envelope)
    if as_json:
        typer.echo(json.dumps(_facts(letter) | {"event": event}))
        return
    for name, value in _facts(letter).items():
        typer.echo(f"{name}: {one_line(str(_cell(value)))}")
    if event is None:
        typer.echo("event: its bytes are no envelope that this version reads")
    else:
        typer.echo(f"event: {json.dumps(event, indent=2, ensure_ascii=False)}")


@app.command()
def redrive(
    ids: Ids = None,
    *,
    every: All = False,
    consumer: OfConsumer = None,
    channel: OfChannel = None,
    as_json: AsJson = False,
) -> None:
    """Give events to the consumer that gave up on them once more, and to nobody else.

    Each takes effect once, after whatever of its key was handled meanwhile. Redis
    must be reached by a login that may write to streams, as the relay's does. May be
    stopped at any moment and run again. Exit code 1 if some were refused.
    """
    wanted = _wanted(ids, consumer, channel, every=every)
    done, refused = asyncio.run(_redrive(Settings.load(), wanted, ids or [], shown=not as_json))
    if as_json:
        typer.echo(json.dumps({"redriven": done, "refused": refused}))
    else:
        for letter_id, reason in refused.items():
            typer.echo(f"{letter_id}: {reason}", err=True)
        typer.echo(f"{done} dead letters redriven, {len(refused)} refused")
    if refused:
        raise typer.Exit(_FAILED)


@app.command()
def drop(
    ids: Ids = None,
    *,
    every: All = False,
    consumer: OfConsumer = None,
    channel: OfChannel = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good. Asks first.

    To their consumers the events stay handled: a replay does not bring them back.
    """
    wanted = _wanted(ids, consumer, channel, every=every)
    dropped = asyncio.run(_drop(Settings.load(), wanted, ask=not yes, shown=not as_json))
    typer.echo(json.dumps({"dropped": dropped}) if as_json else f"{dropped} dead letters dropped")


def _wanted(
    ids: list[uuid.UUID] | None, consumer: str | None, channel: EventType | None, *, every: bool
) -> Select[DeadLetter]:
    if bool(ids) is every:
        raise typer.BadParameter("give the ids of dead letters, or --all")
    if ids and (consumer or channel):
        raise typer.BadParameter("--consumer and --channel go with --all")
    return letters.select_letters(ids=ids or (), consumer=consumer, event_type=channel)


async def _list(
    settings: Settings, wanted: Select[DeadLetter], limit: int
) -> tuple[list[DeadLetter], int]:
    async with opened_sessions(settings) as sessions, sessions() as session:
        found = list(await session.scalars(wanted.limit(limit)))
        counted = select(func.count()).select_from(wanted.order_by(None).subquery())
        return found, await session.scalar(counted) or 0


async def _show(settings: Settings, letter_id: uuid.UUID) -> DeadLetter:
    async with opened_sessions(settings) as sessions, sessions() as session:
        return await letters.find_letter(session, letter_id)


async def _redrive(
    settings: Settings, wanted: Select[DeadLetter], ids: list[uuid.UUID], *, shown: bool
) -> tuple[int, dict[str, str]]:
    refused: dict[str, str] = {}
    done = 0
    async with opened_redis(settings) as redis, opened_sessions(settings) as sessions:
        async with sessions() as session:
            chosen = ids or await letters.letter_ids(session, wanted)
        with progress("dead letters", len(chosen), shown=shown) as advance:
            for letter_id in dict.fromkeys(chosen):
                try:
                    async with sessions.begin() as session:
                        await letters.redrive(session, redis, letter_id)
                except (SetupError, DatabaseUnavailableError):
                    raise  # so would all the others end
                except CartsnitchError as error:
                    refused[str(letter_id)] = str(error)
                else:
                    done += 1
                advance(1)
    return done, refused


async def _drop(settings: Settings, wanted: Select[DeadLetter], *, ask: bool, shown: bool) -> int:
    dropped = 0
    async with opened_sessions(settings) as sessions:
        async with sessions() as session:
            chosen = await letters.letter_ids(session, wanted)
        if ask and chosen:
            typer.confirm(f"drop {len(chosen)} dead letters for good?", abort=True, err=True)
        with progress("dead letters", len(chosen), shown=shown) as advance:
            for start in range(0, len(chosen), _DROPPED_AT_ONCE):
                some = chosen[start : start + _DROPPED_AT_ONCE]
                async with sessions.begin() as session:
                    dropped += await letters.drop(session, some)
                advance(len(some))
    return dropped


def _facts(letter: DeadLetter) -> dict[str, Any]:
    envelope = letters.envelope_of(letter)
    return {
        "id": str(letter.id),
        "failed_at": letter.failed_at.isoformat(timespec="seconds"),
        "consumer": letter.consumer,
        "stream": letter.stream,
        "entry_id": letter.entry_id,
        "event_type": envelope.event_type if envelope else None,
        "event_id": envelope.event_id if envelope else None,
        "key": envelope.key if envelope else None,
        "size": len(letter.envelope),
        "deliveries": letter.deliveries,
        "reason": letter.reason,
    }


def _cell(value: object) -> object:
    return "-" if value is None else value
