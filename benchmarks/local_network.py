"""A network of four validators and a full node on this machine: start, finality, proofs, memory.

Median over all proposals of a run of blocks without load; proposal to durable commit, at the proposer.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from cli.testnet_processes import Testnet
from examples.demo.real import LightReader, RealNetwork

BLOCKS = 60


def main() -> None:
    """Print one line of JSON."""
    with tempfile.TemporaryDirectory(prefix="consil-bench-") as temporary:
        testnet = Testnet.create(Path(temporary), validators=4, full_nodes=1)
        try:
            print(json.dumps(measure(testnet)))
        finally:
            testnet.stop()


def measure(testnet: Testnet) -> dict[str, Any]:
    """Every figure of the running network."""
    began = time.monotonic()
    testnet.start()
    testnet.wait_finalized(1, timeout_s=60)
    first_block_s = time.monotonic() - began
    testnet.wait_finalized(BLOCKS, timeout_s=120)
    finality: list[float] = []
    for plan in testnet.nodes:
        with testnet.rpc(plan.name) as client:
            finality += client.call("system_consensus")["finalityMs"]
    network = RealNetwork(testnet.directory)
    proved = LightReader(network).read(network.url("node-1"))
    memory = [status.rss_bytes for status in testnet.status() if status.role == "validator"]
    return {
        "benchmark": "local_network",
        "validators": 4,
        "blocks": BLOCKS,
        "first_finalized_s": round(first_block_s, 2),
        "finality_ms_p50": round(median(finality), 1),
        "finality_ms_p99": round(quantiles(finality, n=100)[98], 1),
        "validator_rss_mb_max": round(max(rss or 0 for rss in memory) / 1e6, 1),
        "state_proof_bytes": proved["proof_bytes"],
        "finality_proof_bytes": proved["certificate_bytes"],
    }


if __name__ == "__main__":
    main()
