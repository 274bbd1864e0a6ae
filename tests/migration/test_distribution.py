"""The schema on the distribution's PostgreSQL, which is older than the wheel's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.grants import GrantsResult, apply_grants
from cartsnitch_common.embedded import PostgresServer
from cartsnitch_common.embedded.programs import POSTGRES_SETTING
from cartsnitch_common.testing.plugin import _create, _with_database
from tests.conftest import OLDEST_POSTGRES, find_program
from tests.integration.queries import test_products_by_code as by_code
from tests.integration.queries.conftest import (  # noqa: F401 - fixtures of what is collected
    purchase,
    rows,
    session,
    sessions,
)
from tests.integration.queries.test_products_by_name import (  # noqa: F401 - collected here
    test_old_statistics_make_no_difference,
    test_pages_hold_each_match_once,
    test_the_words_follow_every_write,
)
from tests.integration.queries.test_recording import (  # noqa: F401 - collected here
    test_a_purchase_is_written_with_its_items,
    test_deltas_are_against_the_day_before_in_event_time,
    test_the_events_are_written_with_it,
)
from tests.integration.queries.test_recording_again import (  # noqa: F401 - collected here
    test_of_writers_at_once_one_records,
    test_the_same_receipt_again_changes_nothing,
)
from tests.migration.test_drift import (  # noqa: F401 - collected here
    test_a_change_by_hand_is_named,
    test_a_changed_right_is_named,
    test_the_wheel_carries_the_schema_of_its_head,
    test_what_the_migrations_make_has_no_drift,
)
from tests.migration.test_drift_bounds import (  # noqa: F401 - collected here
    test_other_bounds_are_named,
    test_what_the_job_makes_is_no_drift,
)
from tests.migration.test_drift_partitions import (  # noqa: F401 - collected here
    test_a_change_by_hand_is_named as test_a_change_below_the_tables_is_named,
)
from tests.migration.test_drift_surroundings import (  # noqa: F401 - collected here
    test_a_changed_version_table_is_named,
    test_triggers_that_are_off_for_a_service_are_named,
    test_triggers_that_are_off_in_each_session_are_named,
)
from tests.migration.test_sql import (  # noqa: F401 - collected here
    test_the_script_makes_the_same_schema,
)
from tests.rows import Rows

pytestmark = [pytest.mark.xdist_group("postgres-distribution"), pytest.mark.servers]


class Servers:
    """As much of the embedded servers as databases are made of."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url


@pytest.fixture(scope="module")
def cartsnitch_servers() -> Iterator[Servers]:
    """The distribution's server in place of the wheel's, for every fixture of this module."""
    found = find_program("postgres")
    assert found is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_SETTING, str(Path(found).resolve().parent))
        with PostgresServer() as server:
            yield Servers(server.url)


@pytest.fixture(scope="module")
def cartsnitch_template(cartsnitch_servers: Servers) -> str:
    """A database that its migrations have brought to head."""
    _create(cartsnitch_servers.database_url, "at_head")
    url = _with_database(cartsnitch_servers.database_url, "at_head")
    migrate.upgrade(Settings.load(database_url=url))
    return "at_head"


def test_the_server_is_the_distributions(database: str) -> None:
    """Not the wheel's, and no older than what is supported."""
    said = subprocess.run(
        [find_program("postgres") or "", "--version"], capture_output=True, text=True, check=True
    )
    with psycopg.connect(database) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        assert said.stdout.strip().endswith(row[0])
        assert connection.info.server_version >= OLDEST_POSTGRES * 10_000


def test_rights_are_given_once(at_head: Settings) -> None:
    """The second time there is nothing to do, and no drift before or after."""
    assert find_drift(at_head) == ()
    assert apply_grants(at_head).given
    assert apply_grants(at_head) == GrantsResult(created=(), given=(), taken=(), others=())
    assert find_drift(at_head) == ()


async def test_a_product_is_found_by_its_code(
    rows: Rows,  # noqa: F811 - the fixture
    session: AsyncSession,  # noqa: F811 - the fixture
) -> None:
    """However the code is written, as on the wheel's server."""
    test = by_code.test_a_product_is_found_by_every_spelling_of_its_code
    await test(rows.connection, session)
