"""A node in a process of its own, which a test can stop: `python -m tests.node.network.stoppable ADDRESS`."""

import sys

import trio

from node.network.host import Network
from node.network.identity import parse_address
from tests.node.network.networks import CHANNEL, CHANNEL_LIMITS, config


async def main() -> None:
    network = Network(config(9, parse_address(sys.argv[1])))
    network.channel(CHANNEL, CHANNEL_LIMITS)
    await network.run()


if __name__ == "__main__":
    trio.run(main)
