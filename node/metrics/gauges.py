"""A node's gauges, read when Prometheus asks. Names are Substrate's where the meaning is the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inference.pool import PoolReading
from node.metrics.network import NetworkReading, network_metrics
from node.metrics.workers import worker_metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The state of a node at one moment."""

    finalized_height: int
    finalized_age_s: float
    """Seconds since the timestamp of the finalized block."""

    target_height: int
    """The highest finalized block that a peer speaks of."""

    peers: int
    ready_transactions: int
    epoch: int
    view: int
    is_voting: bool
    equivocations: int
    """Offences of validators that this node could prove since its start."""

    dropped_frames: int
    """Frames that full queues dropped since the start."""

    database_bytes: int
    network: NetworkReading
    workers: PoolReading | None
    """None on a node that does not validate."""


def metrics_route(read: Callable[[], Reading]) -> Route:
    """`/metrics` in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Gauges(read))

    async def answer(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE)

    return Route("/metrics", answer)


class _Gauges(Collector):
    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing is known before a reading; said here so that registering does not take one."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of one reading."""
        now = self._read()
        height = GaugeMetricFamily("substrate_block_height", "Block height of the chain", labels=["status"])
        height.add_metric(["finalized"], now.finalized_height)
        height.add_metric(["sync_target"], now.target_height)
        yield height
        plain: dict[str, tuple[str, float]] = {
            "substrate_sub_libp2p_peers_count": ("Connected peers", now.peers),
            "substrate_ready_transactions_number": ("Extrinsics ready for a block", now.ready_transactions),
            "consilience_finalized_age_seconds": (
                "Seconds since the finalized block",
                now.finalized_age_s,
            ),
            "consilience_epoch": ("Epoch of the consensus engine", now.epoch),
            "consilience_view": ("View of the consensus engine", now.view),
            "consilience_voting": ("1 if this node votes", now.is_voting),
            "consilience_equivocations": (
                "Offences of validators that were proved here since the start",
                now.equivocations,
            ),
            "consilience_dropped_frames": ("Network frames dropped by full queues", now.dropped_frames),
            "consilience_database_bytes": ("Bytes of the database in use", now.database_bytes),
        }
        for name, (meaning, value) in plain.items():
            yield GaugeMetricFamily(name, meaning, value=value)
        yield from network_metrics(now.network)
        if now.workers is not None:
            yield from worker_metrics(now.workers)
