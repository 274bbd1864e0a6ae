"""The pydantic flavour against the C runtime, for every message and any values."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cartsnitch.event.v1 import Envelope as StubEnvelope
from cartsnitch.purchase.v1 import Purchase as StubPurchase
from cartsnitch.type.v1 import Date as StubDate
from cartsnitch.type.v1 import Money as StubMoney
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError
from cartsnitch_common.pydantic.catalog.v1 import StoreSlug
from cartsnitch_common.pydantic.event.v1 import Envelope
from cartsnitch_common.pydantic.purchase.v1 import Purchase
from cartsnitch_common.pydantic.type.v1 import Money
from cartsnitch_common.pydantic_json import from_message, to_message
from tests.arbitrary import message_classes, messages

STUBS = message_classes()
GOLDEN = Path(__file__).parents[2] / "golden"
UNKNOWN = b"\xf8\x3f\x01"  # field 1023, which no message has


def flavoured(full_name: str) -> Any:
    """The pydantic class of a message, under the name that a service imports."""
    package, _, name = full_name.removeprefix("cartsnitch.").rpartition(".")
    return getattr(importlib.import_module(f"cartsnitch_common.pydantic.{package}"), name)


@pytest.mark.parametrize("name", STUBS)
@settings(max_examples=12)
@given(data=st.data())
def test_bytes_and_json_are_those_of_the_c_runtime(name: str, data: st.DataObject) -> None:
    """Any message, valid or not, has one binary and one JSON form, written and read by both."""
    stub, flavour = STUBS[name], flavoured(name)
    message = data.draw(messages(stub.DESCRIPTOR))
    binary = message.SerializeToString() + UNKNOWN
    value = flavour.FromString(binary)
    assert value.SerializeToString() == binary
    form = json_format.MessageToDict(message)
    # As text: NaN is not equal to itself, and true is not 1.
    assert json.dumps(value.to_dict(), sort_keys=True) == json.dumps(form, sort_keys=True)
    # Not the message's own bytes: JSON knows one NaN of many.
    read_by_c = json_format.ParseDict(form, stub()).SerializeToString()
    assert flavour.from_dict(form).SerializeToString() == read_by_c
    named = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert flavour.from_dict(named).SerializeToString() == read_by_c
    assert to_message(stub, from_message(flavour, message)) == message or "nan" in str(message)


@pytest.mark.parametrize("name", STUBS)
def test_the_golden_vectors_are_its_own(name: str) -> None:
    """Each committed vector is read and written alike, in bytes and in JSON."""
    flavour = flavoured(name)
    paths = sorted((GOLDEN / name).glob("*.json"))
    assert paths
    for path in paths:
        vector = json.loads(path.read_text())
        binary = base64.b64decode(vector["binary"])
        try:
            value = from_message(flavour, STUBS[name].FromString(binary))
        except UnmappableValueError:
            # Of times that no service sends: a rule of theirs is broken on purpose.
            assert "breaks" in path.stem or path.stem == "beyond"
            continue
        assert value.SerializeToString() == binary, path.stem
        assert value.to_dict() == vector["json"], path.stem
        again = flavour.from_dict(vector["json"])
        assert again.to_dict() == vector["json"], path.stem
        # Unknown fields are in no JSON.
        assert again.SerializeToString() == binary or "unknown" in path.stem, path.stem


def test_every_message_was_compared() -> None:
    """The comparison runs over the whole contract, not over what a pattern happened to find."""
    assert len(STUBS) > 70
    assert {name.split(".")[1] for name in STUBS} >= {"account", "event", "purchase", "type"}


def test_a_bridge_joins_one_message_only() -> None:
    """Converting between two different messages is the program's mistake, whatever is in them."""
    with pytest.raises(TypeError, match="different messages"):
        from_message(Money, StubDate())
    with pytest.raises(TypeError, match="different messages"):
        to_message(StubDate, Money())


@pytest.mark.parametrize(
    ("seconds", "nanos", "words"),
    [
        (0, 1, "finer than a microsecond"),
        (253_402_300_800, 0, "years 1 to 9999"),
        (-62_135_596_801, 0, "years 1 to 9999"),
        (0, -1000, "years 1 to 9999"),
    ],
)
def test_a_time_that_a_datetime_cannot_hold_is_refused(
    seconds: int, nanos: int, words: str
) -> None:
    """The bridge cuts no digit off and names the field, also in a list of sub-messages."""
    message = StubEnvelope(coupons_updated={"coupons": [{}, {}]})
    message.coupons_updated.coupons[1].scrape_time.seconds = seconds
    message.coupons_updated.coupons[1].scrape_time.nanos = nanos
    with pytest.raises(UnmappableValueError, match=words) as caught:
        from_message(Envelope, message)
    assert caught.value.field == "coupons_updated.coupons[1].scrape_time"


# -- what the package's docstring says of the differences ---------------------


def test_a_finer_time_is_cut() -> None:
    """betterproto2 alone keeps microseconds of both forms and refuses the year 10,000."""
    message = StubPurchase()
    message.ingest_time.nanos = 1999
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    value = Purchase.FromString(message.SerializeToString())
    assert value.ingest_time == epoch.replace(microsecond=1)
    text = '{"ingestTime": "1970-01-01T00:00:00.000001999Z"}'
    assert Purchase.from_json(text).ingest_time == epoch.replace(microsecond=1)
    message.ingest_time.seconds = 253_402_300_800
    with pytest.raises(OverflowError):
        Purchase.FromString(message.SerializeToString())


def test_bytes_from_outside_are_not_checked() -> None:
    """betterproto2 alone reads a cut message, and replaces where C merges."""
    assert Money.FromString(b"\x0a\x05US").currency_code == "US"
    parts = [StubPurchase(total=StubMoney(units=1)), StubPurchase(total=StubMoney(nanos=2))]
    twice = b"".join(part.SerializeToString() for part in parts)
    assert StubPurchase.FromString(twice).total == StubMoney(units=1, nanos=2)
    assert Purchase.FromString(twice).total == Money(nanos=2)
    with pytest.raises(ValidationError):
        Money.FromString(b"\x08\x01")
    both = (
        StubEnvelope(receipts_ingested={}).SerializeToString()
        + StubEnvelope(prices_updated={}).SerializeToString()
    )
    assert StubEnvelope.FromString(both).WhichOneof("payload") == "prices_updated"
    with pytest.raises(ValidationError, match="more than one value"):
        Envelope.FromString(both)


def test_its_own_json_reader_is_lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """betterproto2 alone cuts a float, takes the last of two names and guesses a time's zone."""
    assert Money.from_json('{"units": 1.9}').units == 1
    assert Money.from_json('{"units": 1, "units": 2}').units == 2
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-2")  # two hours east
        time.tzset()
        value = Purchase.from_json('{"ingestTime": "2026-03-11T06:00:00"}')
    time.tzset()
    assert value.ingest_time == dt.datetime(2026, 3, 11, 4, tzinfo=dt.UTC)


def test_an_assignment_is_checked_when_it_is_encoded() -> None:
    """A wrong value raises when the message is encoded; the bridge names its field."""
    value = Money()
    value.units = 2**63
    with pytest.raises(ValidationError):
        value.SerializeToString()
    with pytest.raises(InvalidFieldError, match="units: "):
        to_message(StubMoney, value)
    with pytest.raises(ValidationError):
        Money(units=2**63)


def test_enums_go_by_short_names() -> None:
    """An enum's value has its contract's name beside the short one; unknown numbers stay."""
    assert StoreSlug.MEIJER == 1
    assert StoreSlug.MEIJER.proto_name == "STORE_SLUG_MEIJER"
    assert StoreSlug(99) == 99


@pytest.mark.parametrize("missing", ["betterproto2", "pydantic"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    """The error of the missing package names the extra that brings it."""
    program = f"""
import sys
sys.modules["{missing}"] = None
try:
    import cartsnitch_common.pydantic.purchase.v1
except ModuleNotFoundError as error:
    assert "cartsnitch-common[pydantic]" in error.__notes__[0], error
else:
    raise AssertionError("it was imported")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_flavour_loads_no_stubs() -> None:
    """Importing it brings neither the stubs nor protobuf nor grpcio; a message can be pickled."""
    program = """
import pickle, sys
from cartsnitch_common.pydantic.event.v1 import Envelope
from cartsnitch_common.pydantic.purchase.v1 import Purchase
value = Purchase(receipt_id="r")
assert pickle.loads(pickle.dumps(value)) == value
assert not [name for name in sys.modules if name.partition(".")[0] in ("cartsnitch", "grpc")]
assert "google.protobuf" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
