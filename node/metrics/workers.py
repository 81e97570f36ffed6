"""What a validator's workers tell Prometheus: how busy they are, and what became of some."""

from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from inference.pool import PoolReading


def worker_metrics(now: PoolReading) -> Iterator[Metric]:
    """The metrics of one reading."""
    plain = {
        "consilience_workers": ("Processes that may prove and run models", now.workers),
        "consilience_workers_busy": ("Those at work", now.busy),
        "consilience_worker_requests_waiting": ("Requests that wait for a worker", now.waiting),
    }
    for name, (meaning, number) in plain.items():
        yield GaugeMetricFamily(name, meaning, value=number)
    yield CounterMetricFamily(
        "consilience_worker_requests_refused", "Requests refused since too many waited", value=now.refused
    )
    yield _total("consilience_worker_requests", "Requests that got a worker", "kind", now.requests)
    yield _total("consilience_worker_seconds", "Time that requests had a worker", "kind", now.seconds)
    yield _total("consilience_worker_replaced", "Workers replaced after trouble", "reason", now.ended)


def _total(name: str, meaning: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, number in sorted(values.items()):
        family.add_metric([key], number)
    return family
