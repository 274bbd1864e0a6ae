from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cartsnitch_common.testing.plugin import _own_database
from tests.contract.sides import Sides


@pytest.fixture(scope="session")
def sides(cartsnitch_servers: Any, cartsnitch_template: str) -> Any:
    """The rules and a migrated database, one transaction for all tests: nothing is kept."""
    for url in _own_database(cartsnitch_servers.database_url, template=cartsnitch_template):
        with psycopg.connect(url) as connection:
            yield Sides(connection)
