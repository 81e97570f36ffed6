from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from inference.pool import PoolReading
from node.metrics.workers import worker_metrics


class Once(Collector):
    def __init__(self, now: PoolReading) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        return worker_metrics(self._now)


def test_the_workers_are_told_by_kind_and_reason() -> None:
    reading = PoolReading(
        workers=4,
        busy=3,
        waiting=2,
        refused=1,
        requests={"prove": 5, "run": 6},
        seconds={"prove": 7.5, "run": 0.25},
        ended={"Crashed": 8},
    )
    registry = CollectorRegistry()
    registry.register(Once(reading))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert lines == [
        "consilience_workers 4.0",
        "consilience_workers_busy 3.0",
        "consilience_worker_requests_waiting 2.0",
        "consilience_worker_requests_refused_total 1.0",
        'consilience_worker_requests_total{kind="prove"} 5.0',
        'consilience_worker_requests_total{kind="run"} 6.0',
        'consilience_worker_seconds_total{kind="prove"} 7.5',
        'consilience_worker_seconds_total{kind="run"} 0.25',
        'consilience_worker_replaced_total{reason="Crashed"} 8.0',
    ]
