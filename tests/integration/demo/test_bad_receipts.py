from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cartsnitch_common.config import Settings
from tests.integration.demo.command import Demo, changed, counts, stream_lengths


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
