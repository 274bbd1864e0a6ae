"""A FastAPI service that speaks the contract's JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from pydantic import BaseModel, TypeAdapter

from cartsnitch.event.v1 import Envelope as StubEnvelope
from cartsnitch.purchase.v1 import Purchase as StubPurchase
from cartsnitch_common.contract import from_json, to_json_value
from cartsnitch_common.pydantic.event.v1 import Envelope
from cartsnitch_common.pydantic.purchase.v1 import Purchase, PurchaseItem
from cartsnitch_common.pydantic_json import Canonical, CanonicalJson, from_message, to_message
from tests.arbitrary import messages
from tests.event_payloads import all_payloads

PURCHASE: dict[str, Any] = {
    "userId": "demo-user",
    "receiptId": "042-1",
    "purchaseDate": {"year": 2026, "month": 3, "day": 10},
    "total": {"currencyCode": "USD", "units": "3", "nanos": 490000000},
    "tax": {},
    "sourceUrl": "https://shop.example/1",
    "ingestTime": "2026-03-11T06:15:04.120Z",
    "items": [{"productNameRaw": "BANANAS", "quantity": {"value": "2.340"}}, {}],
}
# Shared by the routes: FastAPI reads the annotations of this module when the program runs.
received: list[Any] = []


class Page(BaseModel):
    """What a service has beside the contract: messages in a model of its own."""

    purchases: list[Canonical[Purchase]]
    latest: Canonical[PurchaseItem] | None = None


def make_app() -> FastAPI:
    app = FastAPI()

    @app.post("/purchases")
    async def record(purchase: Canonical[Purchase]) -> Canonical[Purchase]:
        received.append(purchase)
        return purchase

    @app.post("/pages")
    async def page(page: Page) -> Page:
        return page

    @app.post("/events")
    async def event(envelope: Canonical[Envelope]) -> Canonical[Envelope]:
        return envelope

    return app


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    received.clear()
    transport = httpx.ASGITransport(app=make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def test_a_route_reads_and_writes_the_contracts_json(client: httpx.AsyncClient) -> None:
    """The handler gets the message; request and response are what the C runtime writes."""
    answer = await client.post("/purchases", json=PURCHASE)
    assert answer.status_code == 200, answer.text
    expected = from_json(StubPurchase, json.dumps(PURCHASE))
    assert answer.json() == json_format.MessageToDict(expected) == PURCHASE
    assert [type(value) for value in received] == [Purchase]
    assert to_message(StubPurchase, received[0]) == expected
    proto_names = to_json_value(expected, proto_names=True)
    assert (await client.post("/purchases", json=proto_names)).json() == PURCHASE


async def test_a_message_stands_in_other_models(client: httpx.AsyncClient) -> None:
    """Lists and optional fields of a model of the service's own carry messages alike."""
    body = {"purchases": [PURCHASE, {}], "latest": {"upc": "4011"}}
    answer = await client.post("/pages", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == body
    assert (await client.post("/pages", json={"purchases": []})).json()["latest"] is None


@pytest.mark.parametrize("event_type", all_payloads())
async def test_every_event_passes_a_route(client: httpx.AsyncClient, event_type: str) -> None:
    """An envelope with any payload arrives and leaves as the C runtime writes it."""
    envelope = StubEnvelope(event_type=event_type)
    payload = all_payloads()[event_type]
    field = next(f for f in envelope.DESCRIPTOR.fields if f.message_type is payload.DESCRIPTOR)
    getattr(envelope, field.name).CopyFrom(payload)
    body = json_format.MessageToDict(envelope)
    answer = await client.post("/events", json=body)
    assert answer.json() == body


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"total": {"units": 3.5}}, ["total", "units"], "a float loses cents"),
        ({"items": [{}, {"upc": 4011}]}, ["items", 1, "upc"], "text in quotes"),
        ({"ingestTime": "2026-03-11T06:15:04"}, ["ingestTime"], "zone"),
        ({"ingestTime": "2026-03-11T06:15:04.0000001Z"}, ["ingestTime"], "finer"),
        ({"secretNote": "canary"}, ["secretNote"], "not a field"),
        ({"userId": {"canary": 1}}, ["userId"], "not an object"),
    ],
)
async def test_a_wrong_field_is_a_422_with_its_place(
    client: httpx.AsyncClient, change: dict[str, Any], place: list[str | int], words: str
) -> None:
    """The client learns which field and why; no value is repeated, for it may be personal."""
    answer = await client.post("/purchases", json=PURCHASE | change)
    assert answer.status_code == 422
    (detail,) = answer.json()["detail"]
    assert detail["loc"] == ["body", *place]
    assert words in detail["msg"]
    assert "canary" not in answer.text
    assert received == []


async def test_openapi_describes_the_contracts_json(client: httpx.AsyncClient) -> None:
    """The schema has the JSON names and types of every field, the same in and out."""
    document = (await client.get("/openapi.json")).json()
    route = document["paths"]["/purchases"]["post"]
    asked = route["requestBody"]["content"]["application/json"]["schema"]
    answered = route["responses"]["200"]["content"]["application/json"]["schema"]
    assert asked == answered
    seen: set[str] = set()
    compare(document, asked, StubPurchase.DESCRIPTOR, seen)
    envelope = document["paths"]["/events"]["post"]["requestBody"]["content"]
    compare(document, envelope["application/json"]["schema"], StubEnvelope.DESCRIPTOR, seen)
    assert {"cartsnitch.type.v1.Money", "cartsnitch.event.v1.PricesUpdated"} <= seen


TYPES: dict[int, dict[str, str]] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
}


def compare(document: dict[str, Any], schema: dict[str, Any], message: Any, seen: set[str]) -> None:
    """The schema is that of the message, and of every message in it."""
    found = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    assert found["additionalProperties"] is False
    assert set(found["properties"]) == {field.json_name for field in message.fields}
    for field in message.fields:
        part = found["properties"][field.json_name]
        if field.is_repeated:
            assert part["type"] == "array"
            part = part["items"]
        if field.type == FieldDescriptor.TYPE_ENUM:
            assert part["enum"] == [value.name for value in field.enum_type.values]
        elif field.type != FieldDescriptor.TYPE_MESSAGE:
            assert part.items() >= TYPES[field.cpp_type].items()
        elif field.message_type.full_name == "google.protobuf.Timestamp":
            assert part.items() >= {"type": "string", "format": "date-time"}.items()
        else:
            compare(document, part, field.message_type, seen)


def test_pydantics_own_form_is_another() -> None:
    """Without Canonical pydantic, and so FastAPI, renders what no client of the contract reads."""
    value = from_message(Purchase, from_json(StubPurchase, json.dumps(PURCHASE)))
    plain = TypeAdapter(Purchase).dump_python(value, mode="json")
    assert plain["user_id"] == "demo-user"
    assert plain["total"]["units"] == 3
    assert plain["subtotal"] is None
    assert plain != PURCHASE


@settings(max_examples=40)
@given(messages(StubEnvelope.DESCRIPTOR))
def test_any_message_has_the_canonical_form(message: Any) -> None:
    """Whatever an envelope holds, its form through pydantic is the C runtime's."""
    adapter = TypeAdapter(Canonical[Envelope])
    value = from_message(Envelope, message)
    assert adapter.dump_python(value, mode="json") == json_format.MessageToDict(message)


def test_only_a_message_has_a_canonical_form() -> None:
    """Anything else under the mark is refused where the service is defined."""
    with pytest.raises(TypeError, match="one message"):
        TypeAdapter(Annotated[int, CanonicalJson()])
    with pytest.raises(TypeError, match="one message"):
        TypeAdapter(Annotated[Purchase | None, CanonicalJson()])
