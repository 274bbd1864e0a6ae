"""Keep the event log in a partition a day.

What: event_log becomes partitioned by relayed_at; its rows stay where they are, in the first
partition. The function event_log_keep makes the partitions of the next days and drops those
past the retention. Rows without a partition land in event_log_default.
Why: a day of the log is dropped at once, without the dead rows that a delete leaves behind.
Phase: expand.
The previous code sees: the same table, with the same rights.

Its relay waits while the rows are read once and indexed; who writes to the outbox does not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021_event_log_days"
down_revision = "0020_outbox_partitions"

INSTANT = sa.DateTime(timezone=True)

# As the first partition the table serves until a midnight that no row has reached. Who
# owned it and might use it does so with the table in its place.
ATTACH = """
DO $$
DECLARE
  until timestamptz;
  owner text;
  given record;
BEGIN
  SELECT date_trunc('day', greatest(max(relayed_at), now()), 'UTC') + interval '24 hours'
    INTO until FROM event_log_first;
  EXECUTE format('ALTER TABLE event_log ATTACH PARTITION event_log_first'
    ' FOR VALUES FROM (MINVALUE) TO (%L)', until);
  CREATE TABLE event_log_default PARTITION OF event_log DEFAULT;
  SELECT quote_ident(pg_get_userbyid(relowner)) INTO owner
    FROM pg_class WHERE oid = 'event_log_first'::regclass;
  FOR given IN
    SELECT a.privilege_type AS privilege,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS role
    FROM pg_class AS c, aclexplode(c.relacl) AS a
    WHERE c.oid = 'event_log_first'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('GRANT %s ON event_log TO %s', given.privilege, given.role);
    EXECUTE format('REVOKE %s ON event_log_first FROM %s CASCADE', given.privilege, given.role);
  END LOOP;
  EXECUTE format('ALTER TABLE event_log OWNER TO %s', owner);
  EXECUTE format('ALTER TABLE event_log_default OWNER TO %s', owner);
  EXECUTE format('ALTER FUNCTION event_log_keep(interval) OWNER TO %s', owner);
END $$
"""

# It runs as its owner: the relay, which calls it, may make and drop no table. One runs at a
# time. It waits for no lock longer than 100 ms, so that nobody waits behind it for longer,
# and says whether all is done; what is not is done by the next call.
#
# A partition is made beside the log and attached, which locks only the default partition
# against others; rows that lie there are moved. Dropping one locks the log, for a moment.
KEEP = r"""
CREATE FUNCTION public.event_log_keep(retention interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET lock_timeout = '100ms' AS $$
DECLARE
  one_day CONSTANT interval := '24 hours';
  today CONSTANT timestamptz := date_trunc('day', now(), 'UTC');
  bound CONSTANT text := 'TO \(''(.*)''\)';
  day timestamptz;
  made text;
  old text;
BEGIN
  IF NOT pg_try_advisory_xact_lock(1129534021, -1) THEN
    RETURN false;
  END IF;
  SELECT greatest(today, max(substring(pg_get_expr(c.relpartbound, c.oid), bound)::timestamptz))
    INTO day
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.event_log'::regclass;
  WHILE day <= today + 3 * one_day LOOP
    made := 'event_log_' || to_char(day AT TIME ZONE 'UTC', 'YYYYMMDD');
    EXECUTE format('CREATE TABLE public.%I (LIKE public.event_log INCLUDING DEFAULTS)', made);
    LOCK TABLE public.event_log_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM public.event_log_default'
      ' WHERE relayed_at >= %L AND relayed_at < %L RETURNING *)'
      ' INSERT INTO public.%I SELECT * FROM moved', day, day + one_day, made);
    EXECUTE format('ALTER TABLE public.event_log ATTACH PARTITION public.%I'
      ' FOR VALUES FROM (%L) TO (%L)', made, day, day + one_day);
    day := day + one_day;
  END LOOP;
  FOR old IN
    SELECT c.oid::regclass FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.event_log'::regclass
    AND substring(pg_get_expr(c.relpartbound, c.oid), bound)::timestamptz <= now() - retention
  LOOP
    EXECUTE format('DROP TABLE %s', old);
  END LOOP;
  DELETE FROM public.event_log_default WHERE relayed_at < now() - retention;
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$
"""


def upgrade() -> None:
    op.rename_table("event_log", "event_log_first")
    op.drop_constraint("pk_event_log", "event_log_first")
    _create("relayed_at", "id", partition_by="RANGE (relayed_at)")
    op.create_index(op.f("ix_event_log_event_type_id"), "event_log", ["event_type", "id"])
    op.execute(KEEP)
    # Or anybody could drop what is to be replayed. `cartsnitch db grants` lets the relay in.
    op.execute("REVOKE ALL ON FUNCTION public.event_log_keep(interval) FROM PUBLIC")
    # It reads every event that is kept, which may be gigabytes; a limit would end each try.
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(ATTACH)


def downgrade() -> None:
    op.execute("DROP FUNCTION public.event_log_keep(interval)")
    op.rename_table("event_log", "event_log_days")
    op.execute("ALTER INDEX pk_event_log RENAME TO pk_event_log_days")
    _create("id")
    op.execute("INSERT INTO event_log SELECT * FROM event_log_days")
    op.drop_table("event_log_days")
    op.create_index(op.f("ix_event_log_relayed_at"), "event_log", ["relayed_at"])


def _create(*key: str, partition_by: str | None = None) -> None:
    op.create_table(
        "event_log",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="The outbox's id."
        ),
        sa.Column("event_id", sa.Uuid(), nullable=False, comment="The id of its envelope."),
        sa.Column("event_type", sa.String(128), nullable=False, comment="The name of its channel."),
        sa.Column(
            "key", sa.String(128), nullable=False, comment="Events of one key stay in order."
        ),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="cartsnitch.event.v1.Envelope"
        ),
        sa.Column(
            "created_at", INSTANT, nullable=False, comment="When it was written to the outbox."
        ),
        sa.Column(
            "relayed_at",
            INSTANT,
            server_default=sa.func.now(),
            nullable=False,
            comment="When it was put on Redis.",
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_event_log")),
        comment="Relayed events, kept for replay.",
        postgresql_partition_by=partition_by,
    )
