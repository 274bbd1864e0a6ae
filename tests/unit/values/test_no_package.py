"""That what no package holds is no package's size."""

from __future__ import annotations

import decimal

import pytest

from cartsnitch_common.values.no_package import was_weighed
from cartsnitch_common.values.printed_sizes import find_size


@pytest.mark.parametrize(
    "line",
    [
        *("2.34 lb. @ $0.59/lb", "2.34 LBS. @ .59", "1.02 KG. @ 1.99", "2.34 LB AT 0.59/LB"),
        *("2.34LB (@ .59)", "2.34 LB NET @ .59", "2.34 LB BANANAS 1 @ .59", "2 LB BANANAS AT .59"),
        *("CHKN BRST 2.87 LB $1.99/LB", "BANANAS .59/LB 2.34 LB", "0.87 LB X 3.99 /LB"),
        *(
            "NET 2.31 lb  $0.59/lb",
            "BANANAS 2 LB .59/#",
            "HAM 2 LB 5.99 PER LB",
            "HAM 5.99/ KG 2 KG",
        ),
        *("GRAPES 2.1 LB/2.99", "GRAPES 2.1 LB / $2.99", "GRAPES 2.1 LB./2.99 F"),
        *("WT 2.34 LB BANANAS", "NET WT 2.25 LB HAM", "TARE 0.5 LB HAM", "HAM 2 LB TARE .02"),
        *("12.3 OZ @ .59/OZ SALAD BAR", "SALAD BAR 12.3 OZ .59/OZ", "SOUP 12 FL OZ .19/FL OZ"),
        *(
            "BNLS CHKN 3.12 LB",
            "HAM 2.00 LB",
            "HAM 1.234 KG",
            "HAM 2.34 LB 1.06 KG",
            "FUEL 10.512 GAL",
        ),
        *("REG 3.99 LB", "RIBEYE 13.99 LB", "HAM $2.99 LB", "HAM $2.99 LB 12OZ"),
    ],
)
def test_what_was_weighed_is_no_size(line: str) -> None:
    """A weight from a scale, and a line with the price of one unit, are no package."""
    assert find_size(line) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("HAM 2.25 LB", ("2.25", "lb")),
        ("GRND BEEF 1.33LB", ("1.33", "lb")),
        ("DOG FOOD 4.4 LB", ("4.4", "lb")),
        ("BUTTER 1 LB (0.45 KG)", ("0.45", "kg")),
        ("FLOUR 5 LB/2.27 KG", ("2.27", "kg")),
        ("NET WT 15.5 OZ CORN", ("15.5", "oz")),
        ("CORN 15.25 OZ", ("15.25", "oz")),
        ("JUICE 6PK/1.25 QT", ("6 x 1.25", "qt")),
    ],
)
def test_a_package_by_the_pound_has_its_size(line: str, found: tuple[str, str]) -> None:
    """Quarters and thirds of a pound are packages, and so is what is printed in two units."""
    assert find_size(line) == found


@pytest.mark.parametrize(
    ("size", "quantity", "weighed"),
    [
        (("2", "lb"), "2.34", True),
        (("15", "oz"), "0.5", True),
        (("15", "oz"), "-0.5", True),
        (("2", "lb"), "2", True),
        (("2", "lb"), "2.000", True),
        (("2", "kg"), "-2", True),
        (("1", "lb"), "1", False),
        (("2", "lb"), "3", False),
        (("2", "oz"), "2", False),
        (("1 1/2", "lb"), "2", False),
        (("2 x 2", "lb"), "2", False),
        (("18", "oz"), "-1", False),
    ],
)
def test_a_quantity_tells_what_was_weighed(
    size: tuple[str, str], quantity: str, *, weighed: bool
) -> None:
    """What is not bought by the piece was weighed, and two of "2 LB" may have been."""
    assert was_weighed(size, decimal.Decimal(quantity)) is weighed


@pytest.mark.parametrize(
    "line",
    [
        *("MTN DEW 12P 12 OZ", "COKE 12PKC 12OZ", "COKE 12OZ 12 CANS", "COKE 12-CAN 12OZ"),
        *("COKE 12 PKG 12OZ", "BEER 6 BTLS 12 OZ", "BEER 6BT 12 OZ", "SOUP 4CN 10 OZ"),
        *("CHIPS 18PK 18OZ TOTAL", "CHIPS TTL 18OZ 18PK"),
        *("CAPRI SUN 10CT 6 OZ", "GOGURT 16CT 2OZ", "JUICE BOX 8CT 6.75 OZ", "TEA 5CT 20CT 6OZ"),
    ],
)
def test_a_pack_that_is_not_understood_is_not_left_out(line: str) -> None:
    """The size without its pack would be another, and so would a total that is multiplied."""
    assert find_size(line) is None


@pytest.mark.parametrize(
    "line",
    [
        *("2/2L COKE 5.00", "3/2L COKE", "COKE 2/3 L", "WATER 12/1.5 LITER", "MILK 2/1 GAL"),
        *("4/16OZ PASTA 5.00", "4/16OZ PASTA", "2/16 OZ BACON 10.00", "10/6 OZ YOG", "YOG 4/4OZ"),
        *("POP 12/12 OZ 5.00", "POP 12/12 OZ 5.00 F", "BASIL 3/4 OZ 5.00", "ORANGES 2/3 LB"),
        *("GATORADE 6/32 OZ", "CRAB 6/1 PT"),
    ],
)
def test_a_price_for_several_is_no_pack(line: str) -> None:
    """Two and more for a price are bought as often as one; only a carton is sold as one."""
    assert find_size(line) is None


@pytest.mark.parametrize(
    "line",
    [
        *("QUEST BAR 21G PROTEIN 4CT", "KIND 5G SUGAR BAR 12CT", "PREMIER PROTEIN 30G 4PK"),
        *("OIKOS 15G PROTEIN", "BAR 9G FAT", "BAR 20 G CARBS", "BAR 12G FIBER", "SHAKE 30G PROT"),
        *("GE LED 60W 800L", "GLAD TRASH 13 G 45 CT", "BAGS 13 G", "5G PHONE CARD"),
        *("BAR 20G 12CT", "SHAKE 30G 4PK"),
    ],
)
def test_what_measures_something_else_is_no_size(line: str) -> None:
    """Grams of protein, lumens and the gallons of a bag are not what the package holds."""
    assert find_size(line) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("MILK 1/2 GAL 2.99", ("1/2", "gal")),
        ("CANDY 12OZ 0 G TRANS FAT", ("12", "oz")),
        ("PROTEIN BARS 12CT 25 OZ", ("25", "oz")),
        ("WATER 20L", ("20", "l")),
        ("YOGURT 4PK 125G", ("4 x 125", "g")),
        ("COOKIES 8CT 12 OZ (340 G)", ("340", "g")),
        ("SODA 12OZ CAN", ("12", "oz")),
        ("CEREAL TOTAL 16OZ", ("16", "oz")),
    ],
)
def test_what_is_clear_beside_them_is_found(line: str, found: tuple[str, str]) -> None:
    """A word or a price that says nothing about the size hides none."""
    assert find_size(line) == found
