"""Where a database differs from the schema that its revision promises.

What is expected stands in ``schema.json`` beside this module: what the migrations
make of an empty database, read by ``catalog.py``. ``scripts/generate`` writes it.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Final

from cartsnitch_common.db.catalog import SAME_WORDS, read_catalog
from cartsnitch_common.db.migrate import own_engine
from cartsnitch_common.db.partitions import find_partition_drift
from cartsnitch_common.db.rights import find_grant_drift
from cartsnitch_common.db.settings_drift import find_setting_drift
from cartsnitch_common.values.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from cartsnitch_common.config import Settings
    from cartsnitch_common.db.catalog import Facts

__all__ = ["as_json", "compare", "differences", "expected_schema", "find_drift"]

_FILE: Final = "schema.json"
_LONGEST: Final = 100  # characters of a text that are shown
_BEFORE: Final = 20  # of them, before the first difference


def find_drift(settings: Settings) -> tuple[str, ...]:
    """Every difference of a database at head, one line each; empty when there is none.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: the user may not read what is compared.
    """
    with own_engine(settings) as engine, engine.connect() as connection:
        connection.exec_driver_sql(SAME_WORDS)
        return differences(connection)


def differences(connection: Connection) -> tuple[str, ...]:
    """What ``find_drift`` finds, on a connection with ``SAME_WORDS``; nothing is written.

    Tables of other programs are not looked at, and a function of theirs only where
    a trigger of ours calls it. Rights are compared once ``cartsnitch db grants`` has
    been used, by ``rights.py``.
    """
    expected = expected_schema()
    names = [_split(key) for key in expected]
    tables = [name for kind, name in names if kind == "table"]
    found = read_catalog(
        connection,
        tables=tables,
        functions=[name.partition("(")[0] for kind, name in names if kind == "function"],
    )
    return (
        *compare(expected, found),
        *find_partition_drift(connection, tables),
        *find_grant_drift(connection),
        *find_setting_drift(connection),
    )


def expected_schema() -> Facts:
    """What the head of this version's migrations holds."""
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    schema: Facts = json.loads(text)
    return schema


def as_json(connection: Connection) -> str:
    """What a database holds, as ``schema.json`` keeps it: nothing else may be in it."""
    return json.dumps(read_catalog(connection), indent=1, ensure_ascii=False) + "\n"


def compare(expected: Facts, found: Facts) -> Iterator[str]:
    """Name each object that is missing, or too many, and each attribute that is another."""
    gone = {name for kind, name in map(_split, expected.keys() - found.keys()) if kind == "table"}
    for key in sorted(expected.keys() | found.keys()):
        if key not in expected:
            yield f"{key}: is not part of the schema"
        elif key not in found:
            kind, name = _split(key)
            # A table that is missing is said once, not once for each of its columns.
            if kind == "table" or name.partition(".")[0] not in gone:
                yield f"{key}: is missing"
        else:
            for attribute in sorted(expected[key].keys() | found[key].keys()):
                wanted, actual = expected[key].get(attribute), found[key].get(attribute)
                if wanted != actual:
                    yield f"{key}: {attribute} {_change(wanted, actual)}"


def _split(key: str) -> tuple[str, str]:
    kind, _, name = key.partition(" ")
    return kind, name


def _change(wanted: str | None, actual: str | None) -> str:
    """Both texts; of long ones what is around the first difference."""
    start = 0
    if wanted and actual and max(len(wanted), len(actual)) > _LONGEST:
        pairs = enumerate(zip(wanted, actual, strict=False))
        first = next((at for at, (one, other) in pairs if one != other), len(actual))
        start = max(0, first - _BEFORE)
    return f"is {_shown(actual, start)}, not {_shown(wanted, start)}"


def _shown(value: str | None, start: int) -> str:
    if value is None:
        return "nothing"
    shown = one_line(value[start:], longest=_LONGEST)
    before, after = "..." if start else "", "..." if len(value) - start > _LONGEST else ""
    return f'"{before}{shown}{after}"'
