"""Settings that switch off what the schema does by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from cartsnitch_common.db.roles import ROLES

if TYPE_CHECKING:
    from sqlalchemy import Connection

# What sessions begin with, of the database, of who asks and of who works on rows; and what this
# one has from elsewhere: the server's file, or the client. A superuser is a member of every role.
_QUERY: Final = text("""
SELECT CASE WHEN setrole <> 0 THEN setrole::regrole::text WHEN setdatabase = 0 THEN 'all roles'
  ELSE 'the database ' || quote_ident(current_database()) END
FROM pg_db_role_setting, unnest(setconfig) AS entry
WHERE lower(entry) = 'session_replication_role=replica'
AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
AND (setrole IN (0, quote_ident(session_user)::regrole) OR EXISTS (
  SELECT FROM pg_roles r WHERE rolname = ANY(CAST(:roles AS text[]))
  AND pg_has_role(setrole, r.oid, 'MEMBER')))
UNION
SELECT 'this session' FROM pg_settings
WHERE name = 'session_replication_role' AND setting = 'replica'
AND source NOT IN ('global', 'database', 'user', 'database user')
""")


def find_setting_drift(connection: Connection) -> tuple[str, ...]:
    """For whom the triggers are off and foreign keys are not checked, one line each."""
    found = connection.scalars(_QUERY, {"roles": list(ROLES)})
    return tuple(
        f'setting session_replication_role for {who} is "replica", so that no trigger runs and'
        " no foreign key is checked"
        for who in sorted(found)
    )
