from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from node.metrics.network import NetworkReading, network_metrics
from node.network.counters import Counters
from node.network.hello import Role
from node.network.identity import PeerId
from node.network.peers import PeerInfo
from node.network.scores import Standing


def peer(name: str, role: Role, *, outbound: bool) -> PeerInfo:
    return PeerInfo(
        peer_id=PeerId(name), address="", outbound=outbound, role=role, session_key=None, finalized_height=0
    )


class Once(Collector):
    def __init__(self, now: NetworkReading) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        return network_metrics(self._now)


def test_the_network_is_told_by_role_protocol_and_reason() -> None:
    counters = Counters(inbound_sockets=4, bytes_in=10, bytes_out=20, bans=2, visits=3)
    counters.dropped_in["/a/1"] = 5
    counters.frames_out["/a/1"] = 6
    counters.stream_bytes_in[""] = 7
    counters.refused["banned"] = 8
    reading = NetworkReading(
        peers=(
            peer("a", Role.AUTHORITY, outbound=True),
            peer("b", Role.AUTHORITY, outbound=True),
            peer("c", Role.FULL, outbound=False),
        ),
        bans=(Standing("10.0.0.1", 0, 9.0),),
        counters=counters,
    )
    registry = CollectorRegistry()
    registry.register(Once(reading))
    lines = generate_latest(registry).decode().splitlines()
    assert {
        'consilience_peers{direction="outbound",role="authority"} 2.0',
        'consilience_peers{direction="inbound",role="full"} 1.0',
        "consilience_bans 1.0",
        "consilience_inbound_sockets 4.0",
        'substrate_sub_libp2p_network_bytes_total{direction="in"} 10.0',
        'substrate_sub_libp2p_network_bytes_total{direction="out"} 20.0',
        'consilience_protocol_bytes_total{direction="in",protocol="negotiation"} 7.0',
        'consilience_frames_total{direction="out",protocol="/a/1"} 6.0',
        'consilience_lost_frames_total{direction="in",protocol="/a/1"} 5.0',
        'consilience_refused_total{reason="banned"} 8.0',
        "consilience_banned_total 2.0",
        "consilience_visits_total 3.0",
    } <= set(lines)
