"""What the network tells Prometheus: connections, bytes, lost frames, refusals, bans. All labels are ours."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from node.network.counters import Counters
from node.network.peers import PeerInfo
from node.network.scores import Standing

NEGOTIATION = "negotiation"
"""Bytes of streams whose ends have not agreed on a protocol yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReading:
    """The network at one moment."""

    peers: tuple[PeerInfo, ...]
    bans: tuple[Standing[str], ...]
    counters: Counters


def network_metrics(now: NetworkReading) -> Iterator[Metric]:
    """The metrics of one reading."""
    count = now.counters
    connections = Counter((str(peer.role), _direction(peer)) for peer in now.peers)
    peers = GaugeMetricFamily("consilience_peers", "Connected peers", labels=["role", "direction"])
    for labels, number in sorted(connections.items()):
        peers.add_metric(labels, number)
    yield peers
    yield GaugeMetricFamily("consilience_bans", "Peers and networks banned now", value=len(now.bans))
    yield GaugeMetricFamily(
        "consilience_inbound_sockets", "Open inbound sockets", value=count.inbound_sockets
    )
    whole = {"in": count.bytes_in, "out": count.bytes_out}
    yield _total("substrate_sub_libp2p_network_bytes", "Bytes on all connections", "direction", whole)
    yield _by_protocol(
        "consilience_protocol_bytes", "Bytes of streams", count.stream_bytes_in, count.stream_bytes_out
    )
    yield _by_protocol("consilience_frames", "Frames passed on", count.frames_in, count.frames_out)
    yield _by_protocol(
        "consilience_lost_frames", "Frames that full queues lost", count.dropped_in, count.dropped_out
    )
    yield _total("consilience_refused", "Connections refused or ended here", "reason", count.refused)
    plain = {
        "consilience_banned": ("Bans since the start", count.bans),
        "consilience_visits": ("Questions of nodes that are no peers", count.visits),
        "consilience_flooded_streams": ("Streams reset for passing their window", count.streams_flooded),
        "consilience_lost_events": ("Connection events a service was too slow for", count.events_dropped),
    }
    for name, (meaning, number) in plain.items():
        yield CounterMetricFamily(name, meaning, value=number)


def _direction(peer: PeerInfo) -> str:
    return "outbound" if peer.outbound else "inbound"


def _total(name: str, meaning: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, number in sorted(values.items()):
        family.add_metric([str(key)], number)
    return family


def _by_protocol(
    name: str, meaning: str, incoming: Mapping[str, int], outgoing: Mapping[str, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=["protocol", "direction"])
    for direction, values in (("in", incoming), ("out", outgoing)):
        for protocol, number in sorted(values.items()):
            family.add_metric([protocol or NEGOTIATION, direction], number)
    return family
