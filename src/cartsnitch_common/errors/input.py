"""What somebody handed in is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cartsnitch_common.errors.root import CartsnitchError

if TYPE_CHECKING:
    from collections.abc import Sequence


class InputError(CartsnitchError):
    """what was handed in is refused."""


class NotJsonError(InputError):
    """the text is not JSON.

    Attributes:
        reason: Where and why reading it failed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"is not JSON: {reason}")
        self.reason = reason


class InvalidFieldError(InputError):
    """a field holds what it may not.

    Attributes:
        field: The path from the message's root, such as ``items[2].unit_price``;
            empty for the message as a whole.
        reason: What is wrong, without the value.
        rule_id: The id of the contract's rule, the same in every language;
            None when no rule of the contract is concerned.
    """

    def __init__(self, field: str, reason: str, *, rule_id: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
        self.rule_id = rule_id


class UnmappableValueError(InvalidFieldError):
    """a value cannot be carried from a row to a message, or back.

    The field's path is that of the message, in both directions.
    """


class ReceiptConflictError(InvalidFieldError):
    """a receipt is recorded already, with other content.

    Attributes:
        receipt_id: The retailer's number of the receipt.
    """

    def __init__(self, field: str, receipt_id: str) -> None:
        super().__init__(field, "differs from the receipt that is recorded with this receipt_id")
        self.receipt_id = receipt_id


class InvalidRequestError(InvalidFieldError):
    """a field of the request breaks a rule of the contract.

    Attributes:
        violations: Every rule that is broken; the attributes of this error are the first's.
    """

    def __init__(self, violations: Sequence[InvalidFieldError]) -> None:
        first, more = violations[0], len(violations) - 1
        reason = first.reason + (f" (and {more} more)" if more else "")
        super().__init__(first.field, reason, rule_id=first.rule_id)
        self.violations = tuple(violations)


class ValueNotStorableError(UnmappableValueError):
    """a field of the request keeps the rules, but the database cannot hold it exactly."""


class PageTokenError(InvalidFieldError):
    """the page token is none that this method gave for these fields."""

    def __init__(self, field: str = "page_token") -> None:
        super().__init__(field, "is none that this method gave for these fields")


class NotFoundError(InputError):
    """what a field of the request names does not exist.

    Attributes:
        resource_type: The message that describes it, ``cartsnitch.purchase.v1.Purchase``.
        field: The path of the field that names it.
    """

    def __init__(self, resource_type: str, field: str) -> None:
        super().__init__(f"{field}: names no {resource_type.rpartition('.')[2]} that exists")
        self.resource_type = resource_type
        self.field = field
