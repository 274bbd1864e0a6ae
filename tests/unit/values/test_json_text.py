"""JSON of no fixed shape, as text for the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.values.json_text import LEVELS, json_to_text

TEXT = st.text(st.characters(exclude_categories=[]) | st.sampled_from('\0\\"u0[{}]'))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner | TEXT),
    max_leaves=8,
)


def texts(value: Any) -> str:
    """All text in a value, keys too."""
    match value:
        case str():
            return value
        case list():
            return "".join(map(texts, value))
        case dict():
            return "".join(key + texts(inner) for key, inner in value.items())
        case _:
            return ""


@given(VALUES)
def test_a_value_is_whole_in_its_text_or_refused(value: Any) -> None:
    """Refused is what holds NUL or half of a character, and nothing that looks like them."""
    held = texts(value)
    if "\0" in held or any("\ud800" <= character <= "\udfff" for character in held):
        with pytest.raises(ValueError, match="holds "):
            json_to_text(value)
    else:
        assert json.loads(json_to_text(value)) == value


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"[":', "}")])
def test_levels_are_counted_as_they_are_nested(opening: str, closing: str) -> None:
    """Brackets in text are none, and what is closed counts no more."""
    deepest = json.loads(opening * LEVELS + "1" + closing * LEVELS)
    for shallow in (deepest, ["[" * LEVELS, '\\"' * LEVELS, [[]] * LEVELS]):
        assert json.loads(json_to_text(shallow)) == shallow
    with pytest.raises(ValueError, match="nested deeper than"):
        json_to_text([deepest])


@pytest.mark.parametrize("key", [1, 1.5, True, None])
@pytest.mark.parametrize("inside", [lambda one: one, lambda one: [{"a": (0, one)}]])
def test_a_key_that_is_no_text_is_refused(key: Any, inside: Any) -> None:
    """As text it could be another's key, and jsonb keeps the last of two."""
    with pytest.raises(ValueError, match="mappings of text"):
        json_to_text(inside({key: "a", "1": "b"}))


def test_an_error_does_not_quote_the_value() -> None:
    """What a retailer sent is personal."""
    with pytest.raises(ValueError, match="must be JSON") as refused:
        json_to_text({"a name": {"a name"}})
    assert "a name" not in str(refused.value)
    assert refused.value.__suppress_context__
