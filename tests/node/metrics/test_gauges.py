import httpx
from starlette.applications import Starlette

from node.metrics.gauges import Reading, metrics_route
from node.metrics.network import NetworkReading
from node.network.counters import Counters


async def test_prometheus_reads_the_node_at_the_moment_of_the_scrape() -> None:
    height = 7

    def read() -> Reading:
        return Reading(
            finalized_height=height,
            finalized_age_s=0.5,
            target_height=9,
            peers=3,
            ready_transactions=2,
            epoch=1,
            view=8,
            is_voting=True,
            equivocations=2,
            dropped_frames=0,
            database_bytes=4096,
            network=NetworkReading(peers=(), bans=(), counters=Counters()),
            workers=None,
        )

    application = Starlette(routes=[metrics_route(read)])
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert 'substrate_block_height{status="finalized"} 7.0' in (await client.get("/metrics")).text
        height = 8
        text = (await client.get("/metrics")).text
    assert 'substrate_block_height{status="finalized"} 8.0' in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == 19
    assert "consilience_bans 0.0" in samples
    assert {"consilience_voting 1.0", "consilience_equivocations 2.0"} <= set(samples)
