"""The sample services over a real port: what is asked, and what a client reads."""

from __future__ import annotations

import datetime as dt

import pytest

from cartsnitch.catalog.v1 import (
    BatchGetProductsRequest,
    FindProductByCodeRequest,
    GetProductRequest,
    ListProductSizesRequest,
    ListStoreLocationsRequest,
    ListStoresRequest,
    SearchProductsRequest,
)
from cartsnitch.pricing.v1 import (
    BatchGetLatestPricesRequest,
    ListPriceIncreasesRequest,
    ListPriceObservationsRequest,
)
from cartsnitch.purchase.v1 import (
    BatchGetPurchasesRequest,
    GetPurchaseRequest,
    ListPurchasesRequest,
)
from cartsnitch.type.v1 import Date
from cartsnitch_common.contract.scalars import from_money
from tests.integration.rpc.conftest import Served, receipt_request
from tests.rows import NOTHING, Rows


async def test_a_purchase_is_recorded_once_and_read_back(served: Served, rows: Rows) -> None:
    """Recording twice writes one purchase and its events once; reading gives what was answered."""
    rows.the("stores")
    corn_flakes = rows.add("normalized_products", upc_variants=["038000001109"])
    request = receipt_request(rows.the("users"))
    first = await served.purchases.RecordPurchase(request)
    again = await served.purchases.RecordPurchase(request)
    assert (first.created, again.created) == (True, False)
    assert first.purchase == again.purchase
    assert first.purchase.items[0].normalized_product_id == str(corn_flakes)
    read = await served.purchases.GetPurchase(GetPurchaseRequest(id=first.purchase.id))
    assert read.purchase == first.purchase
    assert (rows.count("purchases"), rows.count("purchase_items")) == (1, 2)
    assert rows.count("event_outbox") == 3


async def test_pages_of_purchases_hold_each_one_once(served: Served, rows: Rows) -> None:
    """Page by page, newest first, nothing is left out and nothing comes twice."""
    user = rows.the("users")
    for day in range(1, 8):
        for number in range(2):
            rows.add("purchases", receipt_id=f"{day}-{number}", purchase_date=dt.date(2026, 3, day))
    found, token, pages = [], "", 0
    while token or not pages:
        answer = await served.purchases.ListPurchases(
            ListPurchasesRequest(
                user_id=user,
                from_date=Date(year=2026, month=3, day=2),
                page_size=5,
                page_token=token,
            )
        )
        found += [(one.purchase_date.day, one.id) for one in answer.purchases]
        token, pages = answer.next_page_token, pages + 1
    assert pages == 3
    assert [day for day, _ in found] == [7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 12


async def test_a_batch_of_purchases_comes_in_the_order_of_its_ids(
    served: Served, rows: Rows
) -> None:
    """What exists comes as it was asked for, what does not is reported, in the last part."""
    ids = [str(rows.add("purchases", receipt_id=f"r-{n}")) for n in range(3)]
    asked = [ids[2], NOTHING, ids[0]]
    parts = [
        part
        async for part in served.purchases.BatchGetPurchases(BatchGetPurchasesRequest(ids=asked))
    ]
    assert [one.id for part in parts for one in part.purchases] == [ids[2], ids[0]]
    assert [list(part.missing_ids) for part in parts] == [*[[]] * (len(parts) - 1), [NOTHING]]


async def test_prices_are_listed_latest_and_raised(served: Served, rows: Rows) -> None:
    """A correction of the same day counts once, and a rise is between two days."""
    product, store = rows.the("normalized_products"), rows.the("stores")
    for day, price in ((1, "3.49"), (2, "4.99"), (2, "3.99"), (3, "3.99")):
        rows.add(
            "price_history",
            id=f"0199a7c4-1f00-7000-8000-{day:06}{round(float('10') - float(price)):06}",
            observed_date=dt.date(2026, 3, day),
            regular_price=price,
        )
    listed = await served.pricing.ListPriceObservations(
        ListPriceObservationsRequest(
            normalized_product_id=str(product), to_date=Date(year=2026, month=3, day=2)
        )
    )
    assert [str(from_money(one.regular_price)) for one in listed.observations] == [
        "3.49",
        "4.99",
        "3.99",
    ]
    latest = await served.pricing.BatchGetLatestPrices(
        BatchGetLatestPricesRequest(
            normalized_product_ids=[NOTHING, str(product)], store_id=str(store)
        )
    )
    assert [one.observed_date.day for one in latest.observations] == [3]
    assert list(latest.missing_ids) == [NOTHING]
    raised = await served.pricing.ListPriceIncreases(
        ListPriceIncreasesRequest(since_date=Date(year=2026, month=3, day=1))
    )
    (increase,) = raised.increases
    assert (increase.previous_date.day, increase.current_date.day) == (1, 2)
    assert str(from_money(increase.current_price)) == "3.99"
    assert increase.increase_ratio.value == "0.1433"


async def test_the_catalog_is_read(served: Served, rows: Rows) -> None:
    """Stores, locations and products are found by id, by code with or without zeros, by name."""
    store = rows.the("stores")
    rows.add("store_locations")
    product = str(
        rows.add("normalized_products", canonical_name="Corn Flakes", upc_variants=["038000001109"])
    )
    catalog = served.catalog
    assert [one.id for one in (await catalog.ListStores(ListStoresRequest())).stores] == [
        str(store)
    ]
    locations = await catalog.ListStoreLocations(ListStoreLocationsRequest(store_id=str(store)))
    assert [one.city for one in locations.store_locations] == ["Ann Arbor"]
    assert (await catalog.GetProduct(GetProductRequest(id=product))).product.id == product
    batch = await catalog.BatchGetProducts(BatchGetProductsRequest(ids=[NOTHING, product]))
    assert ([one.id for one in batch.products], list(batch.missing_ids)) == ([product], [NOTHING])
    for code in ("038000001109", "0038000001109"):
        found = await catalog.FindProductByCode(FindProductByCodeRequest(code=code))
        assert found.product.id == product
    matches = await catalog.SearchProducts(SearchProductsRequest(query="flakes"))
    assert [one.product.id for one in matches.matches] == [product]
    await served.purchases.RecordPurchase(receipt_request(rows.the("users")))
    sizes = await catalog.ListProductSizes(ListProductSizesRequest(normalized_product_id=product))
    assert [(one.size, one.size_unit) for one in sizes.sizes] == [("18", "oz")]


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_a_page_is_never_larger_than_asked_for(served: Served, rows: Rows, size: int) -> None:
    """The last page has no token, every other has one."""
    for number in range(3):
        rows.add("normalized_products", canonical_name=f"Corn Flakes {number}")
    seen, token = [], None
    while token != "":
        answer = await served.catalog.SearchProducts(
            SearchProductsRequest(query="CORN", page_size=size, page_token=token or "")
        )
        assert len(answer.matches) <= size
        seen += [one.product.id for one in answer.matches]
        token = answer.next_page_token
    assert len(seen) == len(set(seen)) == 3
