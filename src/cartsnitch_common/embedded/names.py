"""What errors, files and orders call the servers."""

from __future__ import annotations

POSTGRES = "postgres"
VALKEY = "valkey"
BOTH = "servers"
"""Where a failure concerns the ground both stand on: directory, account, guard."""
