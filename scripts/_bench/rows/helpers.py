"""What each table and index that makes a query fast costs whoever writes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from _bench.comparison import Comparison, Direction, Sides
from _bench.databases import PRODUCTS, open_driver, price_database, product_database
from _bench.dataset import PRICE_COLUMNS, PRODUCT_COLUMNS, ready_prices, ready_products

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from _bench.comparison import Work
    from _bench.world import World

_PRICES: Final = 100_000
_PRODUCTS: Final = 10_000
_READY: Final = 2_000
_ROUNDS: Final = 25  # each is short
_HELPERS: Final = {"price_history": "current_prices", "normalized_products": "product_names"}


async def _writing(
    world: World, stack: AsyncExitStack, table: str, *, batch: int, without: str
) -> Work:
    """Work that inserts what is ready in batches, each rolled back.

    A commit is not in it: it flushes the disk, whatever was written.
    """
    if table == "price_history":
        settings = await price_database(world, _PRICES, without=without)
        columns = PRICE_COLUMNS
        ready = ready_prices(_READY, existing=world.size(_PRICES), products=world.size(PRODUCTS))
    else:
        settings = await product_database(world, _PRODUCTS, without=without)
        columns = PRODUCT_COLUMNS
        ready = ready_products(_READY, existing=world.size(_PRODUCTS))
    driver = await stack.enter_async_context(open_driver(settings))
    # What is rolled back stays, and would be in the way of whoever searches there next.
    both = f"{table}, {_HELPERS[table]}"
    stack.push_async_callback(driver.execute, f"VACUUM (FULL, ANALYZE) {both}")
    await driver.execute(ready)

    async def run() -> None:
        for first in range(0, _READY, batch):
            transaction = driver.transaction()
            await transaction.start()
            await driver.execute(
                f"INSERT INTO {table} ({columns}) SELECT * FROM ready OFFSET {first} LIMIT {batch}"
            )
            await transaction.rollback()

    return run


def _cost(table: str, *, batch: int, without: str) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        async with AsyncExitStack() as stack:
            ours = await _writing(world, stack, table, batch=batch, without="")
            rival = await _writing(world, stack, table, batch=batch, without=without)
            yield Sides(ours=ours, rival=rival, units=_READY // batch)

    return prepare


ROWS = (
    *(
        Comparison(
            name=f"{batch} prices written, 100,000 there",
            rival="without the table of current prices",
            goal=None,
            direction=Direction.AT_MOST,
            prepare=_cost(
                "price_history",
                batch=batch,
                without="ALTER TABLE price_history DISABLE TRIGGER USER",
            ),
            rounds=_ROUNDS,
            note="the price of `current prices of a whole store`; no commit",
        )
        for batch in (20, 1_000)
    ),
    *(
        Comparison(
            name=f"{batch} products written, 10,000 there",
            rival=f"without {helper}",
            goal=None,
            direction=Direction.AT_MOST,
            prepare=_cost("normalized_products", batch=batch, without=without),
            rounds=_ROUNDS,
            note=f"the price of `{gain}`; no commit",
        )
        for helper, gain, without in (
            (
                "the table of names",
                "product by name",
                "ALTER TABLE normalized_products DISABLE TRIGGER USER",
            ),
            (
                "the index of codes",
                "product by UPC",
                "DROP INDEX ix_normalized_products_upc_variants",
            ),
        )
        for batch in (1, 100)
    ),
)
