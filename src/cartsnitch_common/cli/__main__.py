"""`python -m cartsnitch_common.cli` is the command `cartsnitch`."""

from __future__ import annotations

from cartsnitch_common.cli import main

if __name__ == "__main__":
    main()
