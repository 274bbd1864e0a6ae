from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cartsnitch_common.events import event_from, wrap
from cartsnitch_common.events.observe import SILENT, Observer, Outcome, Silent, together
from tests.event_payloads import prices


class Recorder(Silent):
    """An observer that writes down what it is told."""

    def __init__(self, name: str, told: list[tuple[Any, ...]]) -> None:
        self.name, self.told = name, told

    def published(self, event_type: str, count: int) -> None:
        """See ``Observer``."""
        self.told.append((self.name, "published", event_type, count))

    def relayed(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""
        self.told.append((self.name, "relayed", events, seconds))

    def refused(self, channel: str) -> None:
        """See ``Observer``."""
        self.told.append((self.name, "refused", channel))

    def waiting(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""
        self.told.append((self.name, "waiting", events, seconds))

    @contextmanager
    def handling(self, consumer: str, event: Any) -> Iterator[None]:
        """See ``Observer``."""
        self.told.append((self.name, "begin", consumer, event.key))
        try:
            yield
        except KeyError:
            self.told.append((self.name, "raised"))
            raise
        self.told.append((self.name, "end"))

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        """See ``Observer``."""
        self.told.append((self.name, consumer, event_type, outcome, seconds))

    def outage(self, who: str, server: str) -> None:
        """See ``Observer``."""
        self.told.append((self.name, who, server))


def tell_all(observer: Observer) -> None:
    event = event_from(wrap(prices(), service="stickershock", key="k"), type(prices()))
    observer.published("t", 2)
    observer.relayed(events=3, seconds=0.5)
    observer.refused("t")
    observer.waiting(events=4, seconds=1.5)
    with observer.handling("group", event):
        pass
    with pytest.raises(KeyError), observer.handling("group", event):
        raise KeyError
    observer.settled("group", "t", Outcome.HANDLED, seconds=0.1)
    observer.outage("relay", "redis")


def test_everybody_of_several_is_told_everything() -> None:
    """Observers joined as one hear every call, and the exception that a delivery ends with."""
    told: list[tuple[Any, ...]] = []
    tell_all(together(Recorder("a", told), Recorder("b", told)))
    by_name = {name: [said[1:] for said in told if said[0] == name] for name in "ab"}
    assert len(by_name["a"]) == 10
    assert by_name["a"] == by_name["b"]


def test_silence_is_kept() -> None:
    """The default observer takes every call, hides no exception and does nothing."""
    tell_all(SILENT)


def test_without_the_extras_nothing_of_them_is_loaded() -> None:
    """The bus with its default observer imports neither Prometheus nor OpenTelemetry."""
    program = """
import sys
for name in ("prometheus_client", "opentelemetry"):
    sys.modules[name] = None
from cartsnitch_common.errors import MissingExtraError
from cartsnitch_common.events import consumer, outbox, relay, tracing, wrap
from cartsnitch.event.v1 import Envelope
from tests.event_payloads import prices
assert not wrap(prices(), service="stickershock", key="k").HasField("traceparent")
for name in ("metrics", "tracing"):
    try:
        if name == "metrics":
            import cartsnitch_common.events.metrics
        else:
            tracing.TracingObserver()
    except MissingExtraError as error:
        assert error.extra == name, error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
