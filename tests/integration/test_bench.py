from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from cartsnitch_common.values.gtin import parse_code

SCRIPTS = str(Path(__file__).parents[2] / "scripts")
Load = Callable[[str], ModuleType]
PRODUCTS = 300
PRICES = 3000


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a module of the benchmarks, which are no package of the library."""
    monkeypatch.syspath_prepend(SCRIPTS)
    yield lambda name: importlib.import_module(f"_bench.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "_bench"]:
        del sys.modules[name]


@pytest.fixture
def dataset(load: Load) -> ModuleType:
    return load("dataset")


@pytest.fixture
def filled(dataset: ModuleType, database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with a small data set."""
    with psycopg.connect(database, autocommit=True) as connection:
        dataset.fill_products(connection, PRODUCTS)
        dataset.fill_prices(connection, PRICES, products=PRODUCTS)
        yield connection


def test_the_data_set_is_one_that_the_platform_could_have_written(
    filled: psycopg.Connection,
) -> None:
    """Names differ, codes have right check digits, helper tables hold what triggers would write."""
    names = filled.execute(
        "SELECT canonical_name, upc_variants FROM normalized_products"
    ).fetchall()
    assert len({name for name, _ in names}) > 0.95 * PRODUCTS
    codes = [code for _, variants in names for code in variants]
    assert len(codes) == len(set(codes))
    assert all(parse_code(code) for code in codes)
    current = "SELECT store_id, normalized_product_id, id FROM current_prices"
    latest = (
        "SELECT DISTINCT ON (store_id, normalized_product_id) store_id, normalized_product_id, id"
        " FROM price_history ORDER BY store_id, normalized_product_id, observed_date DESC, id DESC"
    )
    assert set(filled.execute(current)) == set(filled.execute(latest))
    named = filled.execute("SELECT count(*) FROM product_names").fetchone()
    assert named == (PRODUCTS,)
    late = filled.execute(
        "SELECT count(*) FROM (SELECT observed_date < max(observed_date) OVER (ORDER BY id)"
        " AS is_late FROM price_history) AS recorded WHERE is_late"
    ).fetchone()
    assert late is not None
    assert 0 < late[0] < PRICES / 2


def test_the_same_sizes_give_the_same_rows(dataset: ModuleType, database: str) -> None:
    """The data set follows from its sizes: whoever measures again measures the same."""
    with psycopg.connect(database) as connection:
        digest = "SELECT md5(string_agg(rows::text, ',')) FROM ({}) AS rows"
        products = connection.execute(digest.format(dataset.products(100))).fetchone()
        prices = connection.execute(digest.format(dataset.prices(500, products=100))).fetchone()
    assert products == ("665e51882e2e0ea4db0ac55560cac230",)
    assert prices == ("c58c5832062fa0c0945649ab7afedb9e",)


def test_a_quick_run_measures_and_judges_nothing(
    load: Load,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``scripts/bench rows --quick`` measures on a small data set and misses no goal."""
    monkeypatch.setenv("CARTSNITCH_DATABASE_URL", postgres_url)
    main = load("__main__").main
    assert main(["rows", "--quick", "--json", "--only", "the products of 20 UPCs"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["value"] > 0


def test_a_quick_run_of_events_measures_and_judges_nothing(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    """``scripts/bench events --quick`` starts its own servers and misses no goal."""
    main = load("__main__").main
    assert main(["events", "--quick", "--json", "--only", "publish 5,000|a stream"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert len(results) == 4
    assert all(result["value"] > 0 for result in results)
