"""A message of each type, as full as it can be, that keeps every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory

from tests.field_rules import rules_of, text_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

ID = "01990000-0000-7000-8000-00000000000a"
OTHER_ID = "01990000-0000-7000-8000-00000000000b"
TEXTS = {
    r"^https?://[!-~]+$": "https://shop.example/a",
    r"^([0-9]{4,5}|[0-9]{8}|[0-9]{12,14})$": "4011",
    r"^[A-Z]{2}$": "MI",
    r"^[0-9]{5}(-[0-9]{4})?$": "48103",
    r"^cartsnitch(\.[a-z][a-z0-9_]*)+$": "cartsnitch.prices.updated",
    r"^[a-z][a-z0-9_]*$": "api",
    r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$": f"00-{'a' * 32}-{'b' * 16}-01",
    r"^[A-Z]{3}$": "USD",
    r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$": "1",
}
"""A text for every pattern of the contract."""


def _no_ids(receipt: Any) -> None:
    receipt.purchase.id = receipt.purchase.store_id = ""
    for item in receipt.purchase.items:
        item.id = item.purchase_id = ""


def _risen(increase: Any) -> None:
    increase.current_price.units = 2
    increase.current_date.day += 1


def _from_a_catalog(observation: Any) -> None:
    observation.ClearField("purchase_item_id")  # so that every source is sound


ADJUSTED: dict[str, Callable[[Any], None]] = {
    "Receipt": _no_ids,
    "PriceObservation": _from_a_catalog,
    "PriceIncrease": _risen,
    "PriceIncreaseDetected": _risen,
}
"""What a message needs besides its fields being sound."""


def sound(descriptor: Any) -> Any:
    """A message that keeps every rule with every field set; of a oneof the last."""
    kind = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(descriptor.full_name)
    )
    message = kind()
    for field in descriptor.fields:
        put(message, field, sound_value(descriptor.name, field))
    ADJUSTED.get(descriptor.name, lambda _: None)(message)
    return message


def put(message: Message, field: Any, value: Any) -> None:
    """Set a field, of whatever kind it is, to a value; None clears it."""
    message.ClearField(field.name)
    if value is None:
        return
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def sound_value(owner: str, field: Any) -> Any:
    """A value that keeps the rules of a field: a list of one where it is repeated."""
    if field.message_type is not None:
        value = _sound_message(field.message_type)
    elif field.type == field.TYPE_STRING:
        value = _sound_text(text_rules(rules_of(f"{owner}.{field.name}")))
    else:
        value = {"nanos": 0}.get(field.name, 1)
    return [value] if field.is_repeated else value


def _sound_message(descriptor: Any) -> Any:
    if descriptor.full_name == "google.protobuf.Timestamp":
        message: Any = message_factory.GetMessageClass(
            descriptor_pool.Default().FindMessageTypeByName(descriptor.full_name)
        )()
        message.seconds = 1_773_576_000
        return message
    return sound(descriptor)


def _sound_text(rules: Any) -> str:
    if rules.uuid:
        return ID
    if rules.email:
        return "ada@parent.example"
    return TEXTS[rules.pattern] if rules.pattern else "x"
