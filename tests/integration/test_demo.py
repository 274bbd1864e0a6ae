from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from cartsnitch_common.cli import run
from cartsnitch_common.cli.demo.receipts import sample_receipts
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import bindings
from cartsnitch_common.contract.scalars import from_decimal, from_money

SAMPLES = Path(__file__).parents[2] / "src/cartsnitch_common/cli/demo/samples"
MEIJER = SAMPLES / "01-meijer-march.json"
TABLES = (
    "users",
    "purchases",
    "purchase_items",
    "price_history",
    "shrinkflation_events",
    "event_log",
)


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


type Demo = Callable[..., Done]


@pytest.fixture
def demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Demo:
    """The command, in this process: only its servers are others."""

    def run_here(*arguments: str, settings: Settings | None = None, **environment: str) -> Done:
        for name, value in _environment(settings, environment).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = run(["demo", *arguments])
        return Done(code, *capsys.readouterr())

    return run_here


def demo_process(*arguments: str, **environment: str) -> Done:
    """The command in a process of its own, as a person starts it; embedded servers."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CARTSNITCH_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cartsnitch_common.cli", "demo", *arguments],
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _environment(settings: Settings | None, further: dict[str, str]) -> dict[str, str]:
    if settings is None:
        return further
    return {
        "CARTSNITCH_DATABASE_URL": settings.require_database_url(),
        "CARTSNITCH_REDIS_URL": settings.require_redis_url(),
    } | further


def counts(settings: Settings) -> dict[str, int]:
    with psycopg.connect(settings.require_database_url()) as connection:
        found = connection.execute("SELECT to_regclass('purchases')").fetchone()
        if found is None or found[0] is None:
            return dict.fromkeys(TABLES, 0)
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index,arg-type]
            for table in TABLES
        }


def stream_lengths(settings: Settings) -> int:
    with redis.Redis.from_url(settings.require_redis_url()) as client:
        return sum(client.xlen("{" + b.channel + "}:stream") for b in bindings())


def changed(tmp_path: Path, path: list[Any], value: Any, *, base: Path = MEIJER) -> Path:
    receipt = json.loads(base.read_text())
    target = receipt
    for step in path[:-1]:
        target = target[step]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    return file


# -- the main job --------------------------------------------------------------


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


@pytest.mark.servers
def test_the_embedded_servers_are_started_and_cleaned_up() -> None:
    """Without settings the demonstration brings its own servers, and leaves nothing behind."""
    # Not below pytest's folder: as root the servers' account could not enter it.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        done = demo_process("--json", TMPDIR=place)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["servers"]["embedded"] is True
        assert list(Path(place).iterdir()) == []


@pytest.mark.servers
def test_keep_leaves_the_servers_up_and_says_how_to_connect() -> None:
    """`--keep` prints the settings; a second run on them knows the receipts; `--stop` ends them."""
    kept = demo_process("--keep")
    assert kept.returncode == 0, kept.stderr
    urls = dict(re.findall(r"export (CARTSNITCH_\w+)='([^']+)'", kept.stdout))
    directory = re.search(r"--stop '([^']+)'", kept.stdout)
    assert directory is not None
    try:
        again = demo_process("--json", **urls)
        assert again.returncode == 0, again.stderr
        statuses = {receipt["status"] for receipt in json.loads(again.stdout)["receipts"]}
        assert statuses == {"already recorded"}
    finally:
        stopped = demo_process("--stop", directory[1])
    assert stopped.returncode == 0, stopped.stderr
    assert not Path(directory[1]).exists()
    assert demo_process("--json", **urls).returncode == 3


# -- bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["purchase", "total"], 87.42, "purchase.total: .*float loses cents"),
        (["purchase", "items", 0, "unitPrice"], 0.59, r"purchase.items\[0\].unitPrice: .*float"),
        (["store"], "STORE_SLUG_ALDI", "store: must be one of"),
        (["store"], "aldi", "store: must be one of"),
        (["purchase", "ingestTime"], "2026-03-11T06:15:04", "purchase.ingestTime: .*zone"),
        (["purchase", "receiptId"], ..., "purchase.receiptId: "),
        (["purchase", "purchaseDate"], ..., "purchase.purchaseDate: value is required"),
        (["purchase", "items", 2, "quantity"], ..., r"purchase.items\[2\].quantity: "),
        (["purchase", "total", "currencyCode"], "EUR", "purchase.total: must be in USD"),
        (
            ["purchase", "items", 0, "quantity", "value"],
            "1.2345",
            r"items\[0\].quantity: .*decimal",
        ),
        (
            ["purchase", "storeLocationId"],
            "01990000-0000-7000-8000-000000000999",
            "storeLocationId",
        ),
        (
            ["purchase", "storeLocationId"],
            "01990000-0000-7000-8000-000000000202",
            "storeLocationId",
        ),
    ],
)
def test_a_bad_receipt_is_one_line_and_nothing_is_written(
    demo: Demo, settings: Settings, tmp_path: Path, path: list[Any], value: Any, words: str
) -> None:
    """One line with the file and the field, exit code 2, not one row and not one event."""
    file = changed(tmp_path, path, value)
    done = demo("--receipt", str(file), settings=settings)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert re.match(rf"error: {re.escape(str(file))}: .*{words}", lines[0]), lines[0]
    assert set(counts(settings).values()) == {0}
    assert stream_lengths(settings) == 0


@pytest.mark.parametrize("text", [b"", b"{", b"no json", b"\xff\xfe", b"[]"])
def test_a_file_that_is_not_json_is_named(demo: Demo, tmp_path: Path, text: bytes) -> None:
    """Refused before any server is started."""
    file = tmp_path / "receipt.json"
    file.write_bytes(text)
    done = demo("--receipt", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {file}: ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_named(demo: Demo, tmp_path: Path, name: str) -> None:
    """A missing file and a directory are one line each."""
    done = demo("--receipt", str(tmp_path / name))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["purchase", "total", "nanos"], 1_000_0000, "purchase.total"),
        (
            ["purchase", "items", 1, "productNameRaw"],
            "PEARS",
            r"purchase.items\[1\].productNameRaw",
        ),
        (["purchase", "items", -1], ..., "purchase.items"),
        (["purchase", "tax"], ..., "purchase.tax"),
        (["purchase", "userId"], "somebody-else", "purchase.userId"),
    ],
)
def test_a_receipt_that_contradicts_the_recorded_one_is_refused(
    demo: Demo, settings: Settings, tmp_path: Path, path: list[Any], value: Any, field: str
) -> None:
    """The same receipt_id with other content: exit code 2, the field named, nothing written."""
    file = changed(tmp_path, path, value)
    done = demo("--receipt", str(file), settings=settings)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(rf"{re.escape(str(file))}: {field}: differs", done.stderr), done.stderr
    assert set(counts(settings).values()) == {0}
    assert stream_lengths(settings) == 0


def test_a_receipt_read_again_later_is_the_same_receipt(
    demo: Demo, settings: Settings, tmp_path: Path
) -> None:
    """The time of reading is no part of what the paper says."""
    file = changed(tmp_path, ["purchase", "ingestTime"], "2026-06-01T00:00:00+02:00")
    done = demo("--json", "--receipt", str(file), settings=settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["receipts"][-1]["status"] == "already recorded"


# -- a wrong environment -------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/db"),
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@no-such-host.invalid/db"),
        ("CARTSNITCH_DATABASE_URL", "mysql://me:s3cret@127.0.0.1/db"),
        ("CARTSNITCH_DATABASE_URL", "s3cret"),
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:port/db"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@127.0.0.1:1/0"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@no-such-host.invalid/0"),
        ("CARTSNITCH_REDIS_URL", "http://:s3cret@127.0.0.1/0"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@127.0.0.1:port/0"),
    ],
)
def test_a_server_out_of_reach_is_one_line_that_names_the_setting(
    demo: Demo, settings: Settings, setting: str, url: str
) -> None:
    """Exit code 3, the variable is named, its password is not."""
    done = demo(settings=settings, **{setting: url})
    assert done.returncode == 3, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"error: {setting}: ")
    assert "s3cret" not in done.stdout + done.stderr


def test_a_wrong_password_and_the_wrong_server_are_told_apart(
    demo: Demo, settings: Settings
) -> None:
    """The password of either, a database that is not there, and a swap of the two URLs' ports."""
    postgres, valkey = settings.require_database_url(), settings.require_redis_url()
    ports = [re.search(r"@127\.0\.0\.1:(\d+)", url)[1] for url in (postgres, valkey)]  # type: ignore[index]
    wrong = [
        ("CARTSNITCH_DATABASE_URL", re.sub(r"://([^:]+):[^@]+@", r"://\1:s3cret@", postgres)),
        ("CARTSNITCH_DATABASE_URL", re.sub(r"/[^/]+$", "/no_such_database", postgres)),
        ("CARTSNITCH_DATABASE_URL", postgres.replace(ports[0], ports[1])),
        ("CARTSNITCH_REDIS_URL", re.sub(r"://([^:]*):[^@]+@", r"://\1:s3cret@", valkey)),
        ("CARTSNITCH_REDIS_URL", valkey.replace(ports[1], ports[0])),
    ]
    for setting, url in wrong:
        done = demo(settings=settings, **{setting: url}, CARTSNITCH_DATABASE_CONNECT_TIMEOUT="5")
        assert done.returncode == 3, (url, done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(f"error: {setting}: "), lines[0]
        assert "s3cret" not in done.stderr


# -- the samples ---------------------------------------------------------------


def test_the_samples_add_up() -> None:
    """Every sample receipt is realistic: its lines, discounts and tax make its total."""
    for file in sample_receipts():
        purchase = file.receipt.purchase
        lines = Decimal(0)
        for item in purchase.items:
            exact = from_decimal(item.quantity) * from_money(item.unit_price)
            assert abs(exact - from_money(item.extended_price)) <= Decimal("0.005"), file.name
            lines += from_money(item.extended_price)
            for name in ("coupon_discount", "loyalty_discount"):
                if item.HasField(name):  # type: ignore[arg-type]
                    lines -= from_money(getattr(item, name))
        assert lines == from_money(purchase.subtotal), file.name
        assert lines + from_money(purchase.tax) == from_money(purchase.total), file.name


def test_the_samples_show_what_receipts_are_like() -> None:
    """Produce by PLU, weighed items, coupons, loyalty discounts, a multipack price, a return."""
    items = [item for file in sample_receipts() for item in file.receipt.purchase.items]
    assert any(len(item.upc.lstrip("0")) in {4, 5} for item in items)
    assert any(not item.HasField("upc") for item in items)
    assert any("." in item.quantity.value for item in items)
    assert any(item.HasField("coupon_discount") for item in items)
    assert any(item.HasField("loyalty_discount") for item in items)
    assert any(item.unit_price.nanos % 10_000_000 for item in items)
    assert any(item.quantity.value.startswith("-") for item in items)


# -- a server that answers and cannot do the work ------------------------------


def test_a_redis_that_refuses_the_work_is_named_before_anything_is_written(
    demo: Demo, settings: Settings
) -> None:
    """A login without the right to append: exit code 3, the setting, and not one row."""
    with redis.Redis.from_url(settings.require_redis_url()) as client:
        client.acl_setuser(
            "reader",
            enabled=True,
            passwords=["+s3cret"],
            commands=["+@all", "-xadd"],
            keys=["*"],
            channels=["*"],
        )
        port = client.connection_pool.connection_kwargs["port"]
    try:
        url = f"redis://reader:s3cret@127.0.0.1:{port}/0"
        done = demo(settings=settings, CARTSNITCH_REDIS_URL=url)
    finally:
        with redis.Redis.from_url(settings.require_redis_url()) as client:
            client.acl_deluser("reader")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.startswith("error: CARTSNITCH_REDIS_URL: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "s3cret" not in done.stderr
    assert set(counts(settings).values()) == {0}


def test_a_database_that_only_reads_is_one_line(demo: Demo, settings: Settings) -> None:
    """At head, but read-only: exit code 3 and the setting, no traceback."""
    assert demo(settings=settings).returncode == 0
    url = settings.require_database_url()
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[arg-type]
    done = demo(settings=settings)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.fullmatch(r"error: CARTSNITCH_DATABASE_URL: .*only read.*\n", done.stderr)


def test_what_a_receipt_says_is_printed_as_it_is(
    demo: Demo, settings: Settings, tmp_path: Path
) -> None:
    """Markup and terminal escapes in a receipt reach nobody's terminal."""
    file = changed(tmp_path, ["purchase", "receiptId"], "a[/red]\x1b[31m[red]b")
    done = demo("--receipt", str(file), settings=settings)
    assert done.returncode == 0, done.stderr
    assert "a[/red]?[31m[red]b" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.servers
def test_sigterm_ends_the_demonstration_quietly() -> None:
    """SIGTERM in the midst of it: exit code 143, no traceback."""
    command = [sys.executable, "-m", "cartsnitch_common.cli", "demo"]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("CARTSNITCH_")}
    for wait in (1.5, 2.2, 2.9):
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.terminate()
            _, said = process.communicate(timeout=30)
        assert process.returncode in {0, 143, -15}, (wait, process.returncode, said)
        assert "Traceback" not in said
