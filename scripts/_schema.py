"""Write what a database at head holds to db/schema.json, with which `cartsnitch db check` compares.

It starts a PostgreSQL of its own and applies every migration.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sqlalchemy import NullPool

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import as_json
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.embedded import start_servers


def main() -> None:
    """Write the file that the only argument names."""
    with start_servers() as servers:
        settings = Settings.load(database_url=servers.database_url)
        migrate.upgrade(settings)
        with sync_engine(settings, poolclass=NullPool).connect() as connection:
            Path(sys.argv[1]).write_text(as_json(connection), encoding="utf-8")


if __name__ == "__main__":
    main()
