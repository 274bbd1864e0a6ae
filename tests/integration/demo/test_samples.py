from __future__ import annotations

from decimal import Decimal

from cartsnitch_common.cli.demo.receipts import sample_receipts
from cartsnitch_common.contract.scalars import from_decimal, from_money


def test_the_samples_add_up() -> None:
    """Every sample receipt is realistic: its lines, discounts and tax make its total."""
    for file in sample_receipts():
        purchase = file.receipt.purchase
        lines = Decimal(0)
        for item in purchase.items:
            exact = from_decimal(item.quantity) * from_money(item.unit_price)
            assert abs(exact - from_money(item.extended_price)) <= Decimal("0.005"), file.name
            lines += from_money(item.extended_price)
            for name in ("coupon_discount", "loyalty_discount"):
                if item.HasField(name):  # type: ignore[arg-type]
                    lines -= from_money(getattr(item, name))
        assert lines == from_money(purchase.subtotal), file.name
        assert lines + from_money(purchase.tax) == from_money(purchase.total), file.name


def test_the_samples_show_what_receipts_are_like() -> None:
    """Produce by PLU, weighed items, coupons, loyalty discounts, a multipack price, a return."""
    items = [item for file in sample_receipts() for item in file.receipt.purchase.items]
    assert any(len(item.upc.lstrip("0")) in {4, 5} for item in items)
    assert any(not item.HasField("upc") for item in items)
    assert any("." in item.quantity.value for item in items)
    assert any(item.HasField("coupon_discount") for item in items)
    assert any(item.HasField("loyalty_discount") for item in items)
    assert any(item.unit_price.nanos % 10_000_000 for item in items)
    assert any(item.quantity.value.startswith("-") for item in items)
