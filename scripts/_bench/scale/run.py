"""``scripts/bench scale``: what grows with the data, and the candidates that were measured."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg

from _bench.dataset import fill_prices, fill_products
from _bench.report import machine, versions
from _bench.scale.candidates import covering_index, date_index, partitions
from _bench.scale.growth import growth
from _bench.scale.products import finding_products
from _bench.scale.writing import current_prices

if TYPE_CHECKING:
    from _bench.world import World


async def run(world: World) -> None:
    """Fill databases of several sizes on one server, and print what was measured."""
    print(f"{machine()}; {', '.join(f'{name} {number}' for name, number in versions().items())}\n")
    with ExitStack() as stack:

        async def database(name: str) -> psycopg.Connection:
            settings = await world.settings(name)
            url = settings.require_database_url()
            return stack.enter_context(psycopg.connect(url, autocommit=True))

        products = world.size(20_000)
        histories = {}
        for rows in map(world.size, (10_000, 100_000, 1_000_000, 10_000_000)):
            histories[rows] = await database(f"prices_{rows}")
            fill_products(histories[rows], products)
            start = time.perf_counter()
            fill_prices(histories[rows], rows, products=products)
            print(f"{rows:,} prices with their indexes: {time.perf_counter() - start:.1f} s")
        growth(histories, products=products)
        largest = list(histories.values())[-1]
        current_prices(largest)
        covering_index(largest)
        date_index(largest)
        partitions(largest)
        catalogues = {}
        for count in map(world.size, (10_000, 100_000, 1_000_000)):
            catalogues[count] = await database(f"products_{count}")
            start = time.perf_counter()
            fill_products(catalogues[count], count)
            print(f"{count:,} products with their names: {time.perf_counter() - start:.1f} s")
        finding_products(catalogues)
