"""Rights that are wrong, beside those on tables: what somebody does and what is to come of it."""

from __future__ import annotations

from typing import NamedTuple

COMING = "ALTER DEFAULT PRIVILEGES FOR ROLE cartsnitch_owner"
SWITCHING_OFF = "SET ON PARAMETER session_replication_role"
REFRESH = "FUNCTION current_prices_refresh"
REFRESH_IN_FULL = f"{REFRESH}(stores uuid[], products uuid[])"


class Wrong(NamedTuple):
    """What somebody does, what `check` tells of it, and what `grants` does about it."""

    statements: str
    told: tuple[str, ...]
    mended: tuple[str, ...]


WRONGS: dict[str, Wrong] = {
    "everybody reads a day of the log": Wrong(
        "GRANT SELECT ON event_log_first TO PUBLIC",
        ("SELECT on event_log_first for PUBLIC is too much",),
        ("REVOKE SELECT ON event_log_first FROM PUBLIC CASCADE",),
    ),
    "a service reads a column of a day of the log": Wrong(
        "GRANT SELECT (key) ON event_log_default TO cartsnitch_api WITH GRANT OPTION",
        (
            "GRANT OPTION FOR SELECT (key) on event_log_default for cartsnitch_api is too much",
            "SELECT (key) on event_log_default for cartsnitch_api is too much",
        ),
        (
            "REVOKE SELECT (key) ON event_log_default FROM cartsnitch_api CASCADE",
            "REVOKE GRANT OPTION FOR SELECT (key) ON event_log_default FROM cartsnitch_api CASCADE",
        ),
    ),
    "a day of the log is another's": Wrong(
        "ALTER TABLE event_log_default OWNER TO CURRENT_USER",
        ("OWNERSHIP on event_log_default for cartsnitch_owner is missing",),
        ("cartsnitch_owner owns event_log_default now",),
    ),
    "a service is a member of another": Wrong(
        "GRANT cartsnitch_receiptwitness TO cartsnitch_shrinkray",
        ("MEMBERSHIP on ROLE cartsnitch_receiptwitness for cartsnitch_shrinkray is too much",),
        ("REVOKE cartsnitch_receiptwitness FROM cartsnitch_shrinkray CASCADE",),
    ),
    "a service is a member of who reads everything": Wrong(
        "GRANT pg_read_all_data TO cartsnitch_shrinkray WITH ADMIN OPTION",
        ("MEMBERSHIP on ROLE pg_read_all_data for cartsnitch_shrinkray is too much",),
        ("REVOKE pg_read_all_data FROM cartsnitch_shrinkray CASCADE",),
    ),
    "a service passes its membership on": Wrong(
        "GRANT cartsnitch_receiptwitness TO cartsnitch_shrinkray WITH ADMIN OPTION;"
        "SET ROLE cartsnitch_shrinkray; GRANT cartsnitch_receiptwitness TO cartsnitch_clipartist",
        (
            "MEMBERSHIP on ROLE cartsnitch_receiptwitness for cartsnitch_clipartist is too much",
            "MEMBERSHIP on ROLE cartsnitch_receiptwitness for cartsnitch_shrinkray is too much",
        ),
        (
            "REVOKE cartsnitch_receiptwitness FROM cartsnitch_clipartist CASCADE",
            "REVOKE cartsnitch_receiptwitness FROM cartsnitch_shrinkray CASCADE",
        ),
    ),
    "a role with powers": Wrong(
        "ALTER ROLE cartsnitch_stickershock SUPERUSER LOGIN;"
        "ALTER ROLE cartsnitch_relay BYPASSRLS CREATEROLE CREATEDB REPLICATION",
        (
            "BYPASSRLS on SERVER for cartsnitch_relay is too much",
            "CREATEDB on SERVER for cartsnitch_relay is too much",
            "CREATEROLE on SERVER for cartsnitch_relay is too much",
            "REPLICATION on SERVER for cartsnitch_relay is too much",
            "LOGIN on SERVER for cartsnitch_stickershock is too much",
            "SUPERUSER on SERVER for cartsnitch_stickershock is too much",
        ),
        (
            "ALTER ROLE cartsnitch_relay NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION",
            "ALTER ROLE cartsnitch_stickershock NOLOGIN NOSUPERUSER",
        ),
    ),
    "everybody makes objects in the schema": Wrong(
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        ("CREATE on SCHEMA public for PUBLIC is too much",),
        ("REVOKE CREATE ON SCHEMA public FROM PUBLIC CASCADE",),
    ),
    "a service makes objects in the schema": Wrong(
        "GRANT CREATE ON SCHEMA public TO cartsnitch_api",
        ("CREATE on SCHEMA public for cartsnitch_api is too much",),
        ("REVOKE CREATE ON SCHEMA public FROM cartsnitch_api CASCADE",),
    ),
    "a service lets others into the schema": Wrong(
        "GRANT USAGE ON SCHEMA public TO cartsnitch_api WITH GRANT OPTION",
        ("GRANT OPTION FOR USAGE on SCHEMA public for cartsnitch_api is too much",),
        ("REVOKE GRANT OPTION FOR USAGE ON SCHEMA public FROM cartsnitch_api CASCADE",),
    ),
    "two are shut out of the schema": Wrong(
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC;"
        "GRANT USAGE ON SCHEMA public TO cartsnitch_owner, cartsnitch_receiptwitness,"
        " cartsnitch_stickershock, cartsnitch_shrinkray, cartsnitch_clipartist, cartsnitch_relay",
        (
            "USAGE on SCHEMA public for cartsnitch_api is missing",
            "USAGE on SCHEMA public for cartsnitch_replay is missing",
        ),
        (
            "GRANT USAGE ON SCHEMA public TO cartsnitch_api",
            "GRANT USAGE ON SCHEMA public TO cartsnitch_replay",
        ),
    ),
    "days to come that everybody reads": Wrong(
        f"{COMING} GRANT SELECT ON TABLES TO PUBLIC;"
        f"{COMING} IN SCHEMA public GRANT INSERT ON TABLES TO cartsnitch_api",
        (
            "SELECT on DEFAULT TABLES for PUBLIC is too much",
            "INSERT on DEFAULT TABLES IN SCHEMA public for cartsnitch_api is too much",
        ),
        (
            f"{COMING} REVOKE SELECT ON TABLES FROM PUBLIC CASCADE",
            f"{COMING} IN SCHEMA public REVOKE INSERT ON TABLES FROM cartsnitch_api CASCADE",
        ),
    ),
    "the owner makes nothing any more": Wrong(
        "REVOKE CREATE ON SCHEMA public FROM cartsnitch_owner",
        ("CREATE on SCHEMA public for cartsnitch_owner is missing",),
        ("GRANT CREATE ON SCHEMA public TO cartsnitch_owner",),
    ),
    # What defeats a guarantee from the side.
    "the owner may not read the users": Wrong(
        "REVOKE SELECT, UPDATE ON users FROM cartsnitch_owner",
        (
            "SELECT on users for cartsnitch_owner is missing",
            "UPDATE on users for cartsnitch_owner is missing",
        ),
        ("GRANT SELECT, UPDATE ON users TO cartsnitch_owner",),
    ),
    "the owner may not write a day of the log": Wrong(
        "REVOKE DELETE ON event_log_default FROM cartsnitch_owner",
        ("DELETE on event_log_default for cartsnitch_owner is missing",),
        ("GRANT DELETE ON event_log_default TO cartsnitch_owner",),
    ),
    "the owner may not count": Wrong(
        "REVOKE USAGE ON SEQUENCE event_outbox_id_seq FROM cartsnitch_owner",
        ("USAGE on SEQUENCE event_outbox_id_seq for cartsnitch_owner is missing",),
        ("GRANT USAGE ON SEQUENCE event_outbox_id_seq TO cartsnitch_owner",),
    ),
    "the owner may not call its function": Wrong(
        f"REVOKE EXECUTE ON {REFRESH} FROM cartsnitch_owner",
        (f"EXECUTE on {REFRESH} for cartsnitch_owner is missing",),
        (f"GRANT EXECUTE ON {REFRESH_IN_FULL} TO cartsnitch_owner",),
    ),
    "a service calls the owner's function": Wrong(
        f"GRANT EXECUTE ON {REFRESH} TO cartsnitch_api WITH GRANT OPTION",
        (
            f"EXECUTE on {REFRESH} for cartsnitch_api is too much",
            f"GRANT OPTION FOR EXECUTE on {REFRESH} for cartsnitch_api is too much",
        ),
        (
            f"REVOKE EXECUTE ON {REFRESH_IN_FULL} FROM cartsnitch_api CASCADE",
            f"REVOKE GRANT OPTION FOR EXECUTE ON {REFRESH_IN_FULL} FROM cartsnitch_api CASCADE",
        ),
    ),
    "everybody calls the owner's function": Wrong(
        f"GRANT EXECUTE ON {REFRESH} TO PUBLIC",
        (f'function {REFRESH_IN_FULL.split(" ", 1)[1]}: callers is "public", not nothing',),
        (f"REVOKE EXECUTE ON {REFRESH_IN_FULL} FROM PUBLIC CASCADE",),
    ),
    "a service switches triggers and foreign keys off": Wrong(
        f"GRANT {SWITCHING_OFF} TO cartsnitch_receiptwitness",
        ("SET on PARAMETER session_replication_role for cartsnitch_receiptwitness is too much",),
        (f"REVOKE {SWITCHING_OFF} FROM cartsnitch_receiptwitness CASCADE",),
    ),
    "everybody switches triggers and foreign keys off": Wrong(
        f"GRANT {SWITCHING_OFF} TO PUBLIC",
        ("SET on PARAMETER session_replication_role for PUBLIC is too much",),
        (f"REVOKE {SWITCHING_OFF} FROM PUBLIC CASCADE",),
    ),
    "a service changes the server for good": Wrong(
        "GRANT ALTER SYSTEM ON PARAMETER fsync TO cartsnitch_api",
        ("ALTER SYSTEM on PARAMETER fsync for cartsnitch_api is too much",),
        ("REVOKE ALTER SYSTEM ON PARAMETER fsync FROM cartsnitch_api CASCADE",),
    ),
    "a setting that an extension brings": Wrong(
        "GRANT SET ON PARAMETER plpgsql.extra_errors TO cartsnitch_api",
        ('SET on PARAMETER "plpgsql.extra_errors" for cartsnitch_api is too much',),
        ('REVOKE SET ON PARAMETER "plpgsql.extra_errors" FROM cartsnitch_api CASCADE',),
    ),
}
