"""Every fault of the suite, in the order of the table."""

from __future__ import annotations

from tests.chaos import backlog, cancels, kills, network, outages, pauses, poison
from tests.chaos.play import Fault

FAULTS: list[Fault] = [
    fault
    for module in (kills, outages, network, pauses, backlog, poison, cancels)
    for fault in module.FAULTS
]
