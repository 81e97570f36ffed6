import subprocess
import sys

UNUSED = (
    "aioquic.asyncio",
    "libp2p.kad_dht",
    "libp2p.pubsub.gossipsub",
    "libp2p.network.swarm",
    "requests",
    "zeroconf",
)


def test_a_node_does_not_load_what_it_does_not_use() -> None:
    program = f"import sys, node.network.host; sys.exit(len(sys.modules.keys() & set({UNUSED})))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
