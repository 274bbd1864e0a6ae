from __future__ import annotations

import json
from pathlib import Path

from cartsnitch_common.config import Settings
from tests.integration.demo.command import MEIJER, Demo, changed, counts, stream_lengths


def test_receipts_become_rows_events_and_alerts(demo: Demo, settings: Settings) -> None:
    """Six receipts of three retailers: rows, events, two price increases, two shrinkings."""
    done = demo("--json", settings=settings)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {receipt["store"] for receipt in result["receipts"]} == {"meijer", "kroger", "target"}
    assert all(receipt["status"] == "recorded" for receipt in result["receipts"])
    assert {item["canonicalName"] for item in result["price_increases"]} == {
        "Large Grade A Eggs",
        "Medium Roast Ground Coffee",
    }
    assert {
        (item["canonicalName"], item["finding"]["oldSize"], item["finding"]["newSize"])
        for item in result["shrinkflation"]
    } == {("Honey Oat Cereal", "18", "15.4"), ("Orange Juice, No Pulp", "52", "46")}
    assert result["rows"]["purchases"] == 6
    # One a matched line; the unmatched turkey and the returned detergent are no prices.
    assert result["rows"]["price_history"] == 21
    assert result["rows"]["shrinkflation_events"] == 2
    assert counts(settings)["purchases"] == 6
    assert len(result["events"]) == result["rows"]["event_log"] == stream_lengths(settings)
    for event in result["events"]:
        assert event["latency_ms"], event
        assert all(0 <= latency < 30_000 for latency in event["latency_ms"].values())
    receivers = {name for event in result["events"] for name in event["latency_ms"]}
    assert receivers == {"receiptwitness", "stickershock", "shrinkray", "api"}


def test_the_same_receipts_again_change_nothing(demo: Demo, settings: Settings) -> None:
    """A second run says "already recorded", writes no row and publishes no event."""
    assert demo(settings=settings).returncode == 0
    before, streams = counts(settings), stream_lengths(settings)
    again = demo("--json", settings=settings)
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert {receipt["status"] for receipt in result["receipts"]} == {"already recorded"}
    assert result["events"] == []
    assert set(result["rows"].values()) == {0}
    assert (counts(settings), stream_lengths(settings)) == (before, streams)


def test_a_person_sees_tables(demo: Demo, settings: Settings) -> None:
    """The printed tables show receipts, rows, events, the increase and the shrinking."""
    done = demo(settings=settings, COLUMNS="140")
    assert done.returncode == 0, done.stderr
    for words in (
        "PostgreSQL 18",
        "Valkey 9",
        "meijer",
        "cartsnitch.alerts.price_increase",
        "Large Grade A Eggs",
        "21.3%",
        "15.4 oz",
        "price_history",
        "after ms",
    ):
        assert words in done.stdout, words
    assert settings.require_database_url() not in done.stdout + done.stderr


def test_a_further_receipt_is_taken(demo: Demo, settings: Settings, tmp_path: Path) -> None:
    """`--receipt FILE` records a receipt of anyone's, written the contract's way."""
    receipt = json.loads(MEIJER.read_text())
    receipt["purchase"] |= {"receiptId": "mine-1", "userId": "somebody-else"}
    receipt["purchase"]["purchaseDate"] = {"year": 2026, "month": 5, "day": 2}
    milk = next(item for item in receipt["purchase"]["items"] if "MILK" in item["productNameRaw"])
    milk["regularPrice"] = {"currencyCode": "USD", "units": "4", "nanos": 990000000}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(receipt))
    done = demo("--json", "--receipt", str(file), settings=settings)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["receipts"][-1]["status"] == "recorded"
    assert result["receipts"][-1]["file"] == str(file)
    increases = {item["canonicalName"]: item for item in result["price_increases"]}
    assert increases["2% Reduced Fat Milk"]["currentPrice"]["units"] == "4"


def test_what_a_receipt_says_is_printed_as_it_is(
    demo: Demo, settings: Settings, tmp_path: Path
) -> None:
    """Markup and terminal escapes in a receipt reach nobody's terminal."""
    file = changed(tmp_path, ["purchase", "receiptId"], "a[/red]\x1b[31m[red]b")
    done = demo("--receipt", str(file), settings=settings)
    assert done.returncode == 0, done.stderr
    assert "a[/red]?[31m[red]b" in done.stdout
    assert "\x1b" not in done.stdout
