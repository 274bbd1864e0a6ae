"""The demonstration's result as tables for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cartsnitch_common.cli.demo.receipts import slug_of
from cartsnitch_common.contract.scalars import from_date, from_decimal, from_money
from cartsnitch_common.values.texts import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from cartsnitch.type.v1 import Money
    from cartsnitch_common.cli.demo.result import DemoResult


def show(result: DemoResult, console: Console) -> None:
    """Print every table of the result."""
    for table in (
        _receipts(result),
        _rows(result),
        _events(result),
        _increases(result),
        _shrinkflation(result),
    ):
        console.print()
        console.print(table)


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        # Folded, not cut: on a narrow screen nothing is lost.
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _receipts(result: DemoResult) -> Table:
    table = _table(
        "Receipts, each with its rows and its events in one transaction",
        *("store", "receipt", "date", "items", "matched", "total", "result"),
        right=("items", "matched", "total"),
    )
    for receipt in result.receipts:
        purchase = receipt.file.receipt.purchase
        table.add_row(
            receipt.file.slug.value,
            _plain(purchase.receipt_id),
            from_date(purchase.purchase_date).isoformat(),
            str(receipt.recorded.items),
            str(receipt.recorded.matched),
            _dollars(purchase.total),
            receipt.status,
        )
    return table


def _rows(result: DemoResult) -> Table:
    table = _table("Rows written", "table", "rows", right=("rows",))
    for name, count in result.rows.items():
        table.add_row(name, str(count))
    return table


def _events(result: DemoResult) -> Table:
    table = _table(
        "Events on Redis, and who had them after how long",
        *("channel", "published by", "received by", "after ms"),
        right=("after ms",),
    )
    for event in result.events:
        table.add_row(
            event.event_type,
            event.service,
            "\n".join(event.latencies),
            "\n".join(f"{value:.1f}" for value in event.latencies.values()),
        )
    return table


def _increases(result: DemoResult) -> Table:
    table = _table(
        "Price increases that the API gateway was told of",
        *("product", "store", "before", "now", "rise"),
        right=("before", "now", "rise"),
    )
    for found in result.increases:
        rise = from_decimal(found.increase_ratio) if found.HasField("increase_ratio") else None
        table.add_row(
            _plain(found.canonical_name),
            slug_of(found.store).value,
            _dollars(found.previous_price),
            _dollars(found.current_price),
            "" if rise is None else f"{rise:.1%}",
        )
    return table


def _shrinkflation(result: DemoResult) -> Table:
    table = _table(
        "Shrinkflation that the API gateway was told of",
        *("product", "size before", "size now", "price before", "price now"),
        right=("size before", "size now", "price before", "price now"),
    )
    for found in result.shrinkflation:
        finding = found.finding
        table.add_row(
            _plain(found.canonical_name),
            _plain(f"{finding.old_size} {finding.old_unit}"),
            _plain(f"{finding.new_size} {finding.new_unit}"),
            _dollars(finding.price_at_old_size) if finding.HasField("price_at_old_size") else "",
            _dollars(finding.price_at_new_size) if finding.HasField("price_at_new_size") else "",
        )
    return table


def _plain(text: str) -> Text:
    """What a receipt says, as it is: no markup of ours, no escape of the terminal's."""
    return Text(one_line(text))


def _dollars(money: Money) -> str:
    amount = from_money(money)
    return f"{'-' if amount < 0 else ''}${abs(amount):,}"
