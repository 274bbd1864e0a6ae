"""Rows: models, engines, sessions and migrations. Knows no protobuf and no Redis.

A service needs one line::

    from cartsnitch_common.db import Database, Settings, models

Nothing of it is loaded before it is used: neither SQLAlchemy nor a driver, and
Alembic by the migrations alone.
"""

import importlib
from typing import TYPE_CHECKING

# `as` makes each a public name.
if TYPE_CHECKING:
    from cartsnitch_common.config import Settings as Settings
    from cartsnitch_common.db import migrate as migrate
    from cartsnitch_common.db import models as models
    from cartsnitch_common.db import queries as queries
    from cartsnitch_common.db.database import Database as Database
    from cartsnitch_common.db.driver_errors import as_ours as as_ours
    from cartsnitch_common.db.driver_errors import database_errors as database_errors
    from cartsnitch_common.db.engine import async_engine as async_engine
    from cartsnitch_common.db.engine import async_sessions as async_sessions
    from cartsnitch_common.db.engine import check_database as check_database
    from cartsnitch_common.db.engine import check_database_sync as check_database_sync
    from cartsnitch_common.db.engine import sync_engine as sync_engine
    from cartsnitch_common.db.engine import sync_sessions as sync_sessions
else:
    # Type checkers do not see these functions: to them any misspelled name would then exist.
    _MODULES = frozenset({"migrate", "models", "queries"})
    _PLACES = {
        "Database": "cartsnitch_common.db.database",
        "Settings": "cartsnitch_common.config",
        "as_ours": "cartsnitch_common.db.driver_errors",
        "async_engine": "cartsnitch_common.db.engine",
        "async_sessions": "cartsnitch_common.db.engine",
        "check_database": "cartsnitch_common.db.engine",
        "check_database_sync": "cartsnitch_common.db.engine",
        "database_errors": "cartsnitch_common.db.driver_errors",
        "sync_engine": "cartsnitch_common.db.engine",
        "sync_sessions": "cartsnitch_common.db.engine",
    }

    def __getattr__(name):  # noqa: ANN001, ANN202 - not checked
        """Import a name when it is used."""
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(_PLACES[name]), name)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("cartsnitch"):
                error.add_note(f"{name} needs it: pip install 'cartsnitch-common[db]'")
            raise

    def __dir__():  # noqa: ANN202 - not checked
        """List what is not loaded yet too."""
        return sorted({*globals(), *_MODULES, *_PLACES})
