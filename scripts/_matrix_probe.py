"""What must work on every runtime of the range; run in a clean environment by ``_matrix.py``.

It prints the versions that it ran on as JSON. Any failure, also a warning, is a traceback.
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import json
import pkgutil
import platform
import uuid
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import configure_mappers

import cartsnitch
from cartsnitch.purchase.v1 import (
    GetPurchaseRequest,
    GetPurchaseResponse,
    Purchase,
    PurchaseServiceServicer,
    PurchaseServiceStub,
    add_PurchaseServiceServicer_to_server,
)
from cartsnitch_common.contract import from_json, to_json
from cartsnitch_common.convert import from_message, to_message
from cartsnitch_common.db import models

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e5f"
# Fewer were not found: the contract never shrinks within v1.
FEWEST = 78
MEMBERS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
    FieldDescriptor.CPPTYPE_INT32: -7,
    FieldDescriptor.CPPTYPE_INT64: 2**40,
    FieldDescriptor.CPPTYPE_ENUM: 1,
}


def main() -> None:
    """Prove the stubs, the rows and the services, then say on what."""
    seen = sum(1 for _ in _round_trips())
    expect(seen >= FEWEST, f"only {seen} messages were found")
    _rows()
    _call()
    names = ("protobuf", "sqlalchemy", "grpcio")
    versions = {name: importlib.metadata.version(name) for name in names}
    print(json.dumps({"python": platform.python_version(), "messages": seen, **versions}))


def expect(holds: bool, what: str) -> None:  # noqa: FBT001 - a condition
    """Fail unless something holds."""
    if not holds:
        raise SystemExit(what)


def _round_trips() -> Iterator[str]:
    """Fill every message of the contract, and carry it through both forms."""
    for found in pkgutil.walk_packages(cartsnitch.__path__, "cartsnitch."):
        module = importlib.import_module(found.name)
        if not found.name.endswith("_pb2"):
            continue
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            message = _filled(descriptor, 6)
            kind = type(message)
            again = kind.FromString(message.SerializeToString(deterministic=True))
            expect(again == message, f"{descriptor.full_name} loses something in bytes")
            expect(from_json(kind, to_json(message)) == message, f"{kind} loses something in JSON")
            yield descriptor.full_name


def _filled(descriptor: Any, depth: int) -> Any:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                part = _filled(field.message_type, depth - 1)
                target = getattr(message, field.name)
                target.extend([part, part]) if field.is_repeated else target.CopyFrom(part)
            continue
        value = MEMBERS[field.cpp_type]
        if descriptor.full_name == "google.protobuf.Timestamp":
            value = 1000
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def _rows() -> None:
    """Configure every model, carry a row to a message and back, compile a query."""
    configure_mappers()
    row = models.Store(
        id=uuid.UUID(ID),
        name="Meijer",
        slug="meijer",
        created_at=dt.datetime(2026, 3, 10, 14, 30, 0, 123456, tzinfo=dt.UTC),
    )
    message = to_message(row)
    again = from_message(type(message).FromString(message.SerializeToString()))
    for column in models.Store.__table__.columns.keys():  # noqa: SIM118 - of SQLAlchemy
        expect(getattr(again, column) == getattr(row, column), f"stores.{column} is lost")
    day = dt.date(2026, 3, 10)
    query = select(models.Purchase).where(models.Purchase.purchase_date >= day).limit(5)
    text = str(query.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    expect("purchases.purchase_date >=" in text, "the query names no column")


class _Purchases(PurchaseServiceServicer):
    def GetPurchase(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer with what was asked for."""
        expect(context.time_remaining() > 0, "the deadline did not arrive")
        return GetPurchaseResponse(purchase=Purchase(id=request.id, receipt_id="042"))


def _call() -> None:
    """Serve and call a method over a real port."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    servicer = _Purchases()  # type: ignore[abstract] # the other methods are not called
    add_PurchaseServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = PurchaseServiceStub(channel)
            answer = stub.GetPurchase(GetPurchaseRequest(id=ID), timeout=20)
            expect(answer.purchase.receipt_id == "042", "the answer is another")
    finally:
        server.stop(None).wait()


if __name__ == "__main__":
    main()
