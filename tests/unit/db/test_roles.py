from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from cartsnitch_common.constants import Service
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.owners import Share
from cartsnitch_common.db.role_statements import give, script, take
from cartsnitch_common.db.roles import (
    GRANT_OPTION,
    MEMBERSHIP,
    PUBLIC,
    SERVER,
    Grant,
    expected_grants,
)


def metadata(**info: Any) -> MetaData:
    """One table, with this in its info."""
    made = MetaData()
    Table("things", made, Column("id", Integer), info=info)
    return made


def rights(made: MetaData) -> set[tuple[str, str, str]]:
    """The rights on the table, without its ownership."""
    return {
        (grant.role.removeprefix("cartsnitch_"), grant.privilege, grant.column)
        for grant in expected_grants(made)
        if grant.on == "things" and grant.privilege != "OWNERSHIP"
    }


@pytest.mark.parametrize("info", [{}, {"owner": None}, {"owner": "nobody"}])
def test_a_table_without_an_owner_is_refused(info: dict[str, Any]) -> None:
    """A model that names no service or program as its owner cannot be granted, nor tested green."""
    metadata = MetaData()
    Table("good", metadata, Column("id", Integer), info={"owner": Service.API})
    assert Grant("cartsnitch_api", "good", "DELETE") in expected_grants(metadata)
    Table("new", metadata, Column("id", Integer), info=info)
    with pytest.raises(TypeError, match="the table new names no owner"):
        expected_grants(metadata)


def test_an_owner_has_four_rights_and_others_none() -> None:
    """What a new table gives, with no more said than its owner."""
    assert rights(metadata(owner=Service.SHRINKRAY)) == {
        ("shrinkray", privilege, "") for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
    }


def test_rights_are_fewer_or_shared_where_the_model_says_so() -> None:
    """An owner that only reads, and others that read one column."""
    shared = [Share("SELECT", services=(Service.API, Service.CLIPARTIST), columns=("id",))]
    made = metadata(owner=Service.SHRINKRAY, privileges=("SELECT",), shared=shared)
    assert rights(made) == {
        ("shrinkray", "SELECT", ""),
        ("api", "SELECT", "id"),
        ("clipartist", "SELECT", "id"),
    }


def test_every_model_names_its_owner() -> None:
    """No table of the package is left out."""
    assert {grant.on for grant in expected_grants()} >= set(Base.metadata.tables)


def test_statements_name_each_right_once() -> None:
    """Rights of one role on one table are one statement; the right to pass one on is its own."""
    grants = [
        Grant("r", "t", "SELECT"),
        Grant("r", "t", "UPDATE", "c"),
        Grant("r", "t", GRANT_OPTION + "SELECT"),
        Grant(PUBLIC, "SEQUENCE s", "USAGE"),
        Grant("cartsnitch_owner", "t", "OWNERSHIP"),
        Grant("r", SERVER, "SUPERUSER"),
        Grant("r", SERVER, "LOGIN"),
        Grant("r", "ROLE a", MEMBERSHIP),
        Grant("r", "ROLE b", MEMBERSHIP),
    ]
    assert take(grants) == [
        "REVOKE USAGE ON SEQUENCE s FROM PUBLIC CASCADE",
        "REVOKE a FROM r CASCADE",
        "REVOKE b FROM r CASCADE",
        "ALTER ROLE r NOLOGIN NOSUPERUSER",
        "REVOKE SELECT, UPDATE (c) ON t FROM r CASCADE",
        "REVOKE GRANT OPTION FOR SELECT ON t FROM r CASCADE",
    ]
    assert give(grants[:2]) == ["GRANT SELECT, UPDATE (c) ON t TO r"]


def test_the_script_holds_no_password() -> None:
    """Roles are made without a login, so that no secret stands in a script or a log."""
    text = " ".join(script())
    assert "NOLOGIN" in text
    assert "PASSWORD" not in text.upper()
