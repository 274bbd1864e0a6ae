from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.orm import Session

from cartsnitch_common.convert import MAPPINGS, from_message, to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.values.ids import new_uuid
from tests.strategies import Parents, values_of

BATCH = 10


@pytest.fixture
def engine(settings: Any) -> Any:
    engine = sync_engine(settings)
    yield engine
    engine.dispose()


def write_parents(session: Session) -> Parents:
    """One row in each table that others refer to."""
    user, store, location = f"user-{new_uuid()}", new_uuid(), new_uuid()
    product, purchase, item = new_uuid(), new_uuid(), new_uuid()
    day = "2026-03-10"
    for model, values in (
        (models.User, {"id": user, "email": f"{user}@parent.example"}),
        (models.Store, {"id": store, "name": "Meijer", "slug": "meijer"}),
        (
            models.StoreLocation,
            {
                "id": location,
                "store_id": store,
                "address": "1 A St",
                "city": "B",
                "state": "MI",
                "zip": "48103",
            },
        ),
        (models.NormalizedProduct, {"id": product, "canonical_name": "Bananas"}),
        (
            models.Purchase,
            {
                "id": purchase,
                "user_id": user,
                "store_id": store,
                "receipt_id": "parent",
                "purchase_date": day,
                "total": 1,
            },
        ),
        (
            models.PurchaseItem,
            {
                "id": item,
                "purchase_id": purchase,
                "product_name_raw": "X",
                "quantity": 1,
                "unit_price": 1,
                "extended_price": 1,
            },
        ),
    ):
        session.execute(insert(model).values(values))
    return {
        "users": user,
        "stores": store,
        "store_locations": location,
        "normalized_products": product,
        "purchases": purchase,
        "purchase_items": item,
    }


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: mapping.row.__name__)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_row_survives_the_database_and_the_wire(
    mapping: Any, engine: Engine, data: st.DataObject
) -> None:
    """Message to row to PostgreSQL to row to bytes to message: each step exact, both ways."""
    with Session(engine) as session:
        parents = write_parents(session)
        model = mapping.row
        if model is models.Store:  # one row a slug: the parent is in the way
            session.execute(delete(models.PurchaseItem))
            session.execute(delete(models.Purchase))
            session.execute(delete(models.StoreLocation))
            session.execute(delete(models.Store))
        size = 1 if model in ONE_A_PARENT else BATCH
        drawn = [data.draw(values_of(model, parents)) for _ in range(size)]
        messages = [to_message(model(**values)) for values in distinct(model, drawn)]
        session.add_all(from_message(message) for message in messages)
        session.flush()
        session.expunge_all()

        rows = {row.id: row for row in session.scalars(select(model))}
        for message in messages:
            row = rows[from_message(message).id]
            again = type(message).FromString(to_message(row).SerializeToString())
            assert again == message
            values = mapping.values(message)
            assert {name: getattr(row, name) for name in values} == values
        session.rollback()


# Tables with a unique key of their foreign keys alone, or of an enum.
ONE_A_PARENT = {models.Store, models.UserStoreAccount}


def distinct(model: type[models.Base], drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out rows that a unique key of the table would refuse beside another."""
    keys = {
        models.User: lambda row: row["email"].lower(),
        models.StoreLocation: lambda row: (row["address"], row["zip"]),
        models.Purchase: lambda row: row["receipt_id"],
        models.ShrinkflationEvent: lambda row: (row["new_size"], row["new_unit"]),
    }
    key = keys.get(model, lambda row: row["id"])
    return list({key(row): row for row in drawn}.values())


def test_a_purchase_with_items_survives_the_database(engine: Engine) -> None:
    """Items come back with their purchase, in the order of the receipt."""
    with Session(engine) as session:
        parents = write_parents(session)
        purchase = session.get_one(models.Purchase, parents["purchases"])
        template = session.get_one(models.PurchaseItem, parents["purchase_items"])
        message = to_message(purchase)
        assert not message.items
        line = to_message(template)
        for number in range(20):
            line.id, line.product_name_raw = str(new_uuid()), f"LINE {number}"
            message.items.append(line)
        message.id, message.receipt_id = str(new_uuid()), "with items"
        for item in message.items:
            item.purchase_id = message.id
        session.add(from_message(message))
        session.flush()
        session.expunge_all()
        row = session.get_one(models.Purchase, message.id)
        session.refresh(row, ["items"])
        assert to_message(row) == message
        session.rollback()
