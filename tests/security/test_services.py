"""What the package's own code does for a service needs no more than the service's rights."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import NullPool, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import undefer

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import PUBLISHERS, Service
from cartsnitch_common.contract import binding_of
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db import migrate
from cartsnitch_common.db.crypto import SessionData, seal, unseal
from cartsnitch_common.db.engine import async_engine, async_sessions, sync_engine
from cartsnitch_common.db.models import DeadLetter as DeadLetterRow
from cartsnitch_common.db.models import OutboxEvent, UserStoreAccount
from cartsnitch_common.db.owners import Program
from cartsnitch_common.db.queries.prices import current_prices
from cartsnitch_common.db.queries.product_codes import find_product_by_code
from cartsnitch_common.db.queries.product_names import find_products_by_name
from cartsnitch_common.db.roles import role_of
from cartsnitch_common.db.rotation import rotate
from cartsnitch_common.errors import AccessDeniedError, NotFoundError
from cartsnitch_common.events.delivery import DeadLetter
from cartsnitch_common.events.inbox import handle_once, record_dead_letter
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.recording import record_purchase
from cartsnitch_common.values.ids import new_uuid
from tests.event_payloads import all_payloads, prices
from tests.rows import Rows
from tests.security.conftest import with_user
from tests.sessions import keyring

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

SERVICES = list(Service)
PUBLISHING = [
    service for service in Service if any(service in some for some in PUBLISHERS.values())
]


@pytest.fixture
def sessions_of(granted: str) -> Any:
    """Make sessions that log in as a service's user."""

    def sessions_of(service: Service) -> async_sessionmaker[AsyncSession]:
        settings = settings_of(granted, service)
        return async_sessions(async_engine(settings, poolclass=NullPool))

    return sessions_of


def settings_of(url: str, owner: Service | Program, **more: Any) -> Settings:
    return Settings.load(database_url=with_user(url, f"login_{role_of(owner)}"), **more)


def payloads_of(service: Service) -> list[Any]:
    return [p for p in all_payloads().values() if service in binding_of(type(p)).publishers]


@pytest.mark.parametrize("owner", [*Service, *Program])
def test_each_program_reads_the_schemas_version(granted: str, owner: Service | Program) -> None:
    """A program makes sure at its start that the schema is one that it can work with."""
    migrate.require_schema(settings_of(granted, owner))


@pytest.mark.parametrize("service", PUBLISHING)
async def test_a_publisher_enqueues(sessions_of: Any, service: Service) -> None:
    """A service that publishes writes its events to the outbox, and cannot read them there."""
    async with sessions_of(service).begin() as session:
        for payload in payloads_of(service):
            await enqueue(session, payload, service=service, key="k")
    with pytest.raises(AccessDeniedError):
        async with sessions_of(service).begin() as session:
            await session.scalar(select(OutboxEvent.event_id))


async def test_who_publishes_nothing_cannot_enqueue(sessions_of: Any) -> None:
    """The API has no event, and no right on the outbox."""
    assert set(SERVICES) - set(PUBLISHING) == {Service.API}
    with pytest.raises(AccessDeniedError):
        async with sessions_of(Service.API).begin() as session:
            await enqueue(session, prices(), service=Service.STICKERSHOCK, key="k")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_consumer_handles_once_and_buries(sessions_of: Any, service: Service) -> None:
    """Every service marks events in the inbox, and records dead letters that it cannot read."""
    letter = DeadLetter(
        consumer=service,
        stream="s",
        entry_id="1-0",
        envelope=b"canary",
        reason="r",
        deliveries=5,
        event_id=new_uuid(),
    )
    event_id = new_uuid()
    async with sessions_of(service).begin() as session:
        assert await handle_once(session, service, event_id)
        assert not await handle_once(session, service, event_id)
        assert await record_dead_letter(session, letter)
        assert not await record_dead_letter(session, letter)
    with pytest.raises(AccessDeniedError):
        async with sessions_of(service).begin() as session:
            await session.scalar(select(DeadLetterRow.envelope))


async def test_the_relay_moves_events(granted: str, sessions_of: Any, redis_url: str) -> None:
    """The relay's role is enough for the relay."""
    async with sessions_of(Service.RECEIPTWITNESS).begin() as session:
        await enqueue(session, prices(), service=Service.RECEIPTWITNESS, key="k")
    settings = settings_of(granted, Program.RELAY, redis_url=redis_url)
    assert await Relay(settings).run_once() > 0
    with psycopg.connect(granted) as connection:
        assert Rows(connection).count("event_outbox") == 0


async def test_a_deleted_user_takes_its_rows_along(granted: str, connect: Any) -> None:
    """The API deletes a user; purchases and accounts, which it cannot even read, go as well."""
    with psycopg.connect(granted) as admin:
        rows = Rows(admin)
        item = rows.add("purchase_items")
        rows.add("price_history", purchase_item_id=item, source="receipt")
        rows.add("user_store_accounts")
        admin.commit()
        with connect(role_of(Service.API)) as api:
            api.execute("DELETE FROM users")
        counted = [rows.count(name) for name in ("purchases", "purchase_items", "current_prices")]
        assert counted == [0, 0, 1]
        assert rows.count("user_store_accounts") == 0
        current = admin.execute("SELECT purchase_item_id FROM current_prices").fetchall()
        assert current == [(None,)]
        admin.execute("TRUNCATE stores, users, normalized_products CASCADE")


async def test_only_receiptwitness_reads_and_rotates_sessions(
    granted: str, sessions_of: Any
) -> None:
    """Its role is enough to write, read and rotate sessions; to every other they are closed."""
    with psycopg.connect(granted) as admin:
        rows = Rows(admin)
        user, store = rows.the("users"), rows.the("stores")
        admin.commit()
        async with sessions_of(Service.RECEIPTWITNESS).begin() as session:
            account = UserStoreAccount(user_id=user, store_id=store)
            seal(keyring(1), account, SessionData({"cookie": "sid"}))
            session.add(account)
        owners = (service for service in Service if service is not Service.RECEIPTWITNESS)
        for other in (*owners, Program.RELAY):
            engine = sync_engine(settings_of(granted, other), poolclass=NullPool)
            with pytest.raises(AccessDeniedError):
                rotate(engine, keyring(2, 1))
        engine = sync_engine(settings_of(granted, Service.RECEIPTWITNESS), poolclass=NullPool)
        assert rotate(engine, keyring(2, 1)).rotated == 1
        async with sessions_of(Service.RECEIPTWITNESS)() as session:
            query = select(UserStoreAccount).options(undefer(UserStoreAccount.session_data))
            found = unseal(keyring(2), (await session.scalars(query)).one())
        assert found == SessionData({"cookie": "sid"})
        admin.execute("TRUNCATE stores, users CASCADE")


async def test_receiptwitness_records_and_everybody_finds(granted: str, sessions_of: Any) -> None:
    """A purchase is recorded without a right on users; each service finds its product."""
    with psycopg.connect(granted) as admin:
        rows = Rows(admin)
        store, product = rows.the("stores"), rows.add("normalized_products", upc_variants=["4011"])
        purchase = Purchase(
            user_id=rows.the("users"),
            store_id=str(store),
            receipt_id="r",
            purchase_date=to_date(dt.date(2026, 3, 10)),
            total=to_money(decimal.Decimal(1)),
        )
        purchase.ingest_time.GetCurrentTime()
        purchase.items.add(
            product_name_raw="BANANAS",
            quantity=to_decimal(decimal.Decimal(1)),
            unit_price=to_money(decimal.Decimal(1)),
            extended_price=to_money(decimal.Decimal(1)),
            normalized_product_id=str(product),
        )
        admin.commit()
        for is_new in (True, False):
            async with sessions_of(Service.RECEIPTWITNESS).begin() as session:
                assert (await record_purchase(session, purchase)).is_new is is_new
                assert len(await current_prices(session, store)) == 1
        purchase.user_id = purchase.receipt_id = "nobody"
        with pytest.raises(NotFoundError, match="user_id"):
            async with sessions_of(Service.RECEIPTWITNESS).begin() as session:
                await record_purchase(session, purchase)
        for service in Service:
            async with sessions_of(service)() as session:
                assert await find_product_by_code(session, "4011")
                assert len(await find_products_by_name(session, "Bananas")) == 1
                if service is not Service.RECEIPTWITNESS:  # the function gives nobody a right
                    with pytest.raises(AccessDeniedError):
                        await record_purchase(session, purchase)
        admin.execute("TRUNCATE stores, users, normalized_products, event_outbox CASCADE")
