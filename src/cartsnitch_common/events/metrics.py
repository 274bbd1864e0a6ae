"""What the event bus does, as metrics of Prometheus; needs the extra ``metrics``.

    observer = PrometheusObserver()
    consumer = Consumer(redis, inbox, group="stickershock", observer=observer)
    prometheus_client.start_http_server(9464)

Labels are event types, groups of consumers and outcomes: a bounded number, and never
a key, an id or a value of a payload.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.errors import MissingExtraError
from cartsnitch_common.events.observe import Silent

try:
    from prometheus_client import REGISTRY, Counter, Gauge, Histogram
except ModuleNotFoundError as error:
    raise MissingExtraError("metrics", "prometheus-client") from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.observe import Outcome

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
"""Upper ends of the buckets of every histogram. Unit: seconds."""


class PrometheusObserver(Silent):
    """An observer that counts. One of a process is enough: it serves all parts of the bus.

    ``cartsnitch_events_published_total{event_type}``: sent without an outbox.
    ``cartsnitch_events_relayed_total``: moved from the outbox to Redis.
    ``cartsnitch_events_relay_batch_seconds``: one batch, its commit included.
    ``cartsnitch_events_refused_total{event_type}``: batches of which Redis refused a channel.
    ``cartsnitch_events_outbox_waiting``: events in the outbox.
    ``cartsnitch_events_outbox_age_seconds``: how long the oldest of them has waited.
    ``cartsnitch_events_deliveries_total{consumer,event_type,outcome}``: see ``Outcome``.
    ``cartsnitch_events_handling_seconds{consumer,event_type}``: one delivery, with commit.
    ``cartsnitch_events_effect_seconds{consumer,event_type}``: from publishing, by the
    publisher's clock, to the committed effect.
    ``cartsnitch_events_outages_total{who,server}``: times that a server was not usable.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register the metrics.

        Args:
            registry: Where; by default the process's.

        Raises:
            ValueError: The registry has them already.
        """
        name = "cartsnitch_events_{}".format
        by_type, by_consumer = ["event_type"], ["consumer", "event_type"]
        common: dict[str, Any] = {"registry": registry}
        self._published = Counter(
            name("published"), "Events sent without an outbox.", by_type, **common
        )
        self._relayed = Counter(name("relayed"), "Events moved from the outbox to Redis.", **common)
        self._batch = Histogram(
            name("relay_batch_seconds"),
            "One batch of the relay, its commit included.",
            buckets=_SECONDS,
            **common,
        )
        self._refused = Counter(
            name("refused"), "Batches of which Redis refused a channel.", by_type, **common
        )
        self._waiting = Gauge(name("outbox_waiting"), "Events in the outbox.", **common)
        self._age = Gauge(
            name("outbox_age_seconds"), "How long the oldest event has waited.", **common
        )
        self._deliveries = Counter(
            name("deliveries"), "How deliveries ended.", [*by_consumer, "outcome"], **common
        )
        self._handling = Histogram(
            name("handling_seconds"),
            "One delivery, its commit included.",
            by_consumer,
            buckets=_SECONDS,
            **common,
        )
        self._effect = Histogram(
            name("effect_seconds"),
            "From publishing to the committed effect.",
            by_consumer,
            buckets=_SECONDS,
            **common,
        )
        self._outages = Counter(
            name("outages"), "Times that a server was not usable.", ["who", "server"], **common
        )

    def published(self, event_type: str, count: int) -> None:
        """See ``Observer``."""
        self._published.labels(event_type).inc(count)

    def relayed(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""
        self._relayed.inc(events)
        self._batch.observe(seconds)

    def refused(self, channel: str) -> None:
        """See ``Observer``."""
        self._refused.labels(channel).inc()

    def waiting(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""
        self._waiting.set(events)
        self._age.set(seconds)

    @contextmanager
    def handling(self, consumer: str, event: Event[Any]) -> Iterator[None]:
        """See ``Observer``; a delivery that raises has no effect to be timed."""
        yield
        age = (dt.datetime.now(dt.UTC) - event.timestamp).total_seconds()
        # Another machine's clock may be ahead.
        self._effect.labels(consumer, event.type).observe(max(age, 0.0))

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        """See ``Observer``."""
        self._deliveries.labels(consumer, event_type, outcome).inc()
        if seconds:
            self._handling.labels(consumer, event_type).observe(seconds)

    def outage(self, who: str, server: str) -> None:
        """See ``Observer``."""
        self._outages.labels(who, server).inc()
