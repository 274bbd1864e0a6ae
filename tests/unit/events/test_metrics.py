from __future__ import annotations

import datetime as dt

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event, event_from, wrap
from cartsnitch_common.events.metrics import PrometheusObserver
from cartsnitch_common.events.observe import Outcome
from tests.event_payloads import prices

TYPE = "cartsnitch.prices.updated"
GROUP = {"consumer": "stickershock", "event_type": TYPE}


def event(*, ago: float = 0.0) -> Event[PricesUpdated]:
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago)
    made = wrap(prices(), service="stickershock", key="secret-key", timestamp=moment)
    return event_from(made, PricesUpdated)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_what_happens_is_counted_by_type_group_and_outcome(registry: CollectorRegistry) -> None:
    """Each call adds to the metric that its docstring names, under bounded labels."""
    observer = PrometheusObserver(registry)
    observer.published(TYPE, 2)
    observer.relayed(events=3, seconds=0.1)
    observer.relayed(events=4, seconds=0.1)
    observer.refused(TYPE)
    observer.waiting(events=9, seconds=0.25)
    observer.settled("stickershock", TYPE, Outcome.HANDLED, seconds=0.02)
    observer.settled("stickershock", TYPE, Outcome.DEAD, seconds=0)
    observer.outage("relay", "redis")
    value = registry.get_sample_value
    name = "cartsnitch_events_{}".format
    assert value(name("published_total"), {"event_type": TYPE}) == 2
    assert value(name("relayed_total")) == 7
    assert value(name("relay_batch_seconds_count")) == 2
    assert value(name("refused_total"), {"event_type": TYPE}) == 1
    assert value(name("outbox_waiting")) == 9
    assert value(name("outbox_age_seconds")) == 0.25
    assert value(name("deliveries_total"), GROUP | {"outcome": "handled"}) == 1
    assert value(name("deliveries_total"), GROUP | {"outcome": "dead"}) == 1
    assert value(name("handling_seconds_count"), GROUP) == 1
    assert value(name("outages_total"), {"who": "relay", "server": "redis"}) == 1


def test_the_way_to_the_effect_is_timed_by_the_publishers_clock(
    registry: CollectorRegistry,
) -> None:
    """An effect is timed from publishing; one of a clock ahead counts as 0, a failure not."""
    observer = PrometheusObserver(registry)
    for ago in (3.0, -60.0):
        with observer.handling("stickershock", event(ago=ago)):
            pass
    with pytest.raises(KeyError), observer.handling("stickershock", event()):
        raise KeyError
    assert registry.get_sample_value("cartsnitch_events_effect_seconds_count", GROUP) == 2
    total = registry.get_sample_value("cartsnitch_events_effect_seconds_sum", GROUP)
    assert total == pytest.approx(3.0, abs=0.5)


def test_no_key_and_no_id_is_a_label(registry: CollectorRegistry) -> None:
    """What is scraped tells nothing of a single event."""
    observer = PrometheusObserver(registry)
    told = event()
    with observer.handling("stickershock", told):
        pass
    text = generate_latest(registry).decode()
    assert "stickershock" in text
    assert "secret-key" not in text
    assert str(told.event_id) not in text
