"""What the gRPC services and their messages promise, read from the stubs and the protos."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import protovalidate
import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from cartsnitch.error.v1 import ErrorReason
from cartsnitch.options.v1 import Service, service
from cartsnitch.pricing.v1 import ListPriceObservationsRequest
from cartsnitch.purchase.v1 import RecordPurchaseRequest
from cartsnitch.type.v1 import Date

PROTO = Path(__file__).parents[3] / "proto"
IMPLEMENTERS = {
    "catalog.v1.CatalogService": Service.SERVICE_RECEIPTWITNESS,
    "account.v1.AccountService": Service.SERVICE_RECEIPTWITNESS,
    "purchase.v1.PurchaseService": Service.SERVICE_RECEIPTWITNESS,
    "pricing.v1.PricingService": Service.SERVICE_RECEIPTWITNESS,
    "coupon.v1.CouponService": Service.SERVICE_CLIPARTIST,
    "shrinkflation.v1.ShrinkflationService": Service.SERVICE_SHRINKRAY,
}
FILES = {path.relative_to(PROTO).as_posix(): path.read_text() for path in PROTO.rglob("*.proto")}
MODULES = {
    name: importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    for name in sorted(FILES)
}
SERVICES = [s for m in MODULES.values() for s in m.DESCRIPTOR.services_by_name.values()]
RPCS = {rpc.full_name.removeprefix("cartsnitch."): rpc for s in SERVICES for rpc in s.methods}
LISTS = {name: rpc for name, rpc in RPCS.items() if rpc.name.startswith(("List", "Search"))}
BATCHES = {name: rpc for name, rpc in RPCS.items() if rpc.name.startswith("BatchGet")}
CODES = {code.name.lower().replace("_", " ") for code in grpc.StatusCode}
LAYERS = [
    {"type", "options", "error"},
    {"catalog", "account"},
    {"purchase", "pricing", "coupon", "shrinkflation"},
    {"event"},
]


def each(rpcs: dict[str, MethodDescriptor]) -> pytest.MarkDecorator:
    assert rpcs
    return pytest.mark.parametrize("rpc", rpcs.values(), ids=rpcs.keys())


def comment_of(rpc: MethodDescriptor) -> str:
    text = FILES[rpc.containing_service.file.name]
    found = re.search(rf"((?:^ *//.*\n)+) *rpc {rpc.name}\(", text, re.MULTILINE)
    assert found, rpc.full_name
    return re.sub(r"^ *// ?", "", found[1], flags=re.MULTILINE)


def violated(message: Message) -> set[str]:
    """The top fields of a message that break a rule, "" for the message as a whole."""
    paths = [one.proto.field for one in protovalidate.collect_violations(message)]
    return {path.elements[0].field_name if path and path.elements else "" for path in paths}


def made(descriptor: Descriptor, **fields: object) -> Message:
    return message_factory.GetMessageClass(descriptor)(**fields)


def reachable(descriptor: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if descriptor.full_name not in seen:
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            yield field
            if field.message_type is not None:
                yield from reachable(field.message_type, seen)


def text_fields() -> Iterator[object]:
    for name, rpc in RPCS.items():
        for field in rpc.input_type.fields:
            if field.type == FieldDescriptor.TYPE_STRING:
                yield pytest.param(rpc.input_type, field, id=f"{name}-{field.name}")


# -- services and methods -----------------------------------------------------


def test_each_service_names_who_implements_it() -> None:
    """The six services are there, each says which platform service answers."""
    found = {
        one.full_name.removeprefix("cartsnitch."): one.GetOptions().Extensions[service].implementer
        for one in SERVICES
    }
    assert found == IMPLEMENTERS


def test_a_context_knows_only_what_stands_below_it() -> None:
    """No proto imports a sibling context or a higher one; errors import nothing of ours."""
    rank = {context: i for i, layer in enumerate(LAYERS) for context in layer}
    for name, module in MODULES.items():
        context = name.split("/")[1]
        for dependency in module.DESCRIPTOR.dependencies:
            if dependency.name.startswith("cartsnitch/"):
                other = dependency.name.split("/")[1]
                assert other == context or rank[other] < rank[context], name
                assert context != "error"


@pytest.mark.parametrize("name", FILES)
def test_no_proto_grows_beyond_one_reading(name: str) -> None:
    """Every proto file has at most 250 lines."""
    assert len(FILES[name].splitlines()) <= 250


@each(RPCS)
def test_each_method_has_a_request_and_a_response_of_its_own(rpc: MethodDescriptor) -> None:
    """A method can grow a field without growing another method's."""
    assert rpc.input_type.name == f"{rpc.name}Request"
    assert rpc.output_type.name == f"{rpc.name}Response"
    assert not rpc.client_streaming
    users = [one for one in RPCS.values() if one.input_type is rpc.input_type]
    assert users == [rpc]


@each(RPCS)
def test_each_method_says_what_a_repetition_does_and_which_errors_come(
    rpc: MethodDescriptor,
) -> None:
    """Idempotency and errors stand in the comment, and the option agrees with it."""
    comment = comment_of(rpc)
    idempotency = re.search(r"^Idempotency: (.+)$", comment, re.MULTILINE)
    errors = re.search(r"^Errors: ((?:.|\n)+)\Z", comment, re.MULTILINE)
    assert idempotency
    assert errors
    level = rpc.GetOptions().idempotency_level
    levels = descriptor_pb2.MethodOptions
    assert level in {levels.NO_SIDE_EFFECTS, levels.IDEMPOTENT}
    reads = rpc.name.startswith(("Get", "List", "BatchGet", "Find", "Search", "Stream"))
    assert idempotency[1].startswith("reads only.") == reads
    assert (level == levels.NO_SIDE_EFFECTS) == reads
    # "a code (why); another (why)", then sentences.
    codes = re.sub(r"\([^)]*\)", "", errors[1]).partition(".")[0].split(";")
    assert {" ".join(code.partition(":")[0].split()) for code in codes} <= CODES
    assert "invalid argument" in errors[1]
    if rpc.name.startswith(("Get", "Find")):
        assert "not found" in errors[1]


@each(LISTS)
def test_each_list_has_pages_with_a_stated_order(rpc: MethodDescriptor) -> None:
    """A list answers at most 500 entries, says in which order, and where the next page begins."""
    request, response = rpc.input_type.fields_by_name, rpc.output_type.fields_by_name
    assert request["page_size"].type == FieldDescriptor.TYPE_INT32
    assert request["page_token"].type == FieldDescriptor.TYPE_STRING
    assert response["next_page_token"].type == FieldDescriptor.TYPE_STRING
    assert "\nOrder: " in comment_of(rpc)
    for size, refused in {-1: True, 0: False, 500: False, 501: True}.items():
        found = violated(made(rpc.input_type, page_size=size))
        assert ("page_size" in found) is refused
    for length, refused in {0: False, 512: False, 513: True}.items():
        found = violated(made(rpc.input_type, page_token="t" * length))
        assert ("page_token" in found) is refused


@each(BATCHES)
def test_each_batch_takes_500_ids_and_reports_the_missing(rpc: MethodDescriptor) -> None:
    """A batch read takes 1 to 500 different ids and fails for none that is missing."""
    missing = rpc.output_type.fields_by_name["missing_ids"]
    assert missing.is_repeated
    (name,) = (field.name for field in rpc.input_type.fields if field.is_repeated)
    ids = [f"0199a7c4-1f00-7000-8000-{n:012}" for n in range(501)]
    for given, refused in ((ids[:1], 0), (ids[:500], 0), ([], 1), (ids, 1), (ids[:1] * 2, 1)):
        assert (name in violated(made(rpc.input_type, **{name: given}))) == bool(refused)
    assert "Order: that of the request." in FILES[rpc.input_type.file.name]


# -- rules of requests --------------------------------------------------------


@pytest.mark.parametrize(("request_type", "field"), [*text_fields()])
def test_no_text_of_a_request_may_be_of_any_length(
    request_type: Descriptor, field: FieldDescriptor
) -> None:
    """Each text field has a rule, and one that names a row takes nothing but an id."""
    long = "x" * 4097
    value = [long] if field.is_repeated else long
    assert field.name in violated(made(request_type, **{field.name: value}))
    if field.name == "user_id":  # opaque, as long as the column
        for text, refused in {"": True, "u": False, "u" * 64: False, "u" * 65: True}.items():
            assert ("user_id" in violated(made(request_type, user_id=text))) is refused
    elif re.search(r"(^|_)ids?$", field.name):
        value = ["42"] if field.is_repeated else "42"
        assert field.name in violated(made(request_type, **{field.name: value}))


@pytest.mark.parametrize(
    "request_type",
    [r.input_type for r in RPCS.values() if "from_date" in r.input_type.fields_by_name],
    ids=lambda descriptor: descriptor.name,
)
def test_a_range_of_dates_does_not_run_backwards(request_type: Descriptor) -> None:
    """The last day may be the first, but not before it; either may be open."""
    day, next_day = Date(year=2026, month=3, day=31), Date(year=2026, month=4, day=1)
    for dates, refused in (
        ({"from_date": day, "to_date": day}, False),
        ({"from_date": day, "to_date": next_day}, False),
        ({"from_date": day}, False),
        ({"to_date": day}, False),
        ({"from_date": next_day, "to_date": day}, True),
    ):
        found = protovalidate.collect_violations(made(request_type, **dates))
        assert ("date_range.order" in {one.proto.rule_id for one in found}) is refused


def test_what_must_be_given_is_required() -> None:
    """An empty request of a method that needs something is refused."""
    takes_nothing = {"ListStoresRequest", "StreamPriceObservationsRequest"}
    takes_nothing |= {"ListShrinkflationEventsRequest"}
    for rpc in RPCS.values():
        assert bool(violated(made(rpc.input_type))) != (rpc.input_type.name in takes_nothing)
    assert violated(RecordPurchaseRequest()) == {"receipt"}
    nothing_but_a_product = ListPriceObservationsRequest(
        normalized_product_id="0199a7c4-1f00-7000-8000-000000000001"
    )
    assert not violated(nothing_but_a_product)


def test_no_secret_can_be_sent_or_answered() -> None:
    """No field within reach of any method is for a password, a session or a token."""
    innocent = {"page_token", "next_page_token", "session_expire_time"}
    seen: set[str] = set()
    for rpc in RPCS.values():
        for root in (rpc.input_type, rpc.output_type):
            for field in reachable(root, seen):
                secret = re.search(r"passw|secret|session|token|credential|cookie", field.name)
                assert not secret or field.name in innocent, field.full_name
                assert field.message_type is None or field.message_type.name != "User"


# -- error reasons ------------------------------------------------------------


@pytest.mark.parametrize("name", ErrorReason.keys()[1:])
def test_each_error_reason_has_an_example_and_says_whether_to_retry(name: str) -> None:
    """The comment gives the status code, a verdict on retrying, and an ErrorInfo that parses."""
    text = FILES["cartsnitch/error/v1/error_reason.proto"]
    found = re.search(rf"((?:^ *//.*\n)+) *{name} = ", text, re.MULTILINE)
    assert found
    comment = re.sub(r"^ *// ?", "", found[1], flags=re.MULTILINE)
    status = re.search(r"^Status: ([A-Z_]+)", comment, re.MULTILINE)
    assert status
    assert status[1] in grpc.StatusCode.__members__
    assert re.search(r"^Retry: (yes|no|not) ?", comment, re.MULTILINE)
    example = json.loads(comment[comment.index("{") : comment.rindex("}") + 1])
    assert example.keys() == {"reason", "domain", "metadata"}
    assert (example["reason"], example["domain"]) == (name, "cartsnitch")
    assert all(isinstance(value, str) for value in example["metadata"].values())
    # What AIP-193 and gRPC gateways accept as a reason.
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", name)
