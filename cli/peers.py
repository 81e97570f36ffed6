"""`consil query peers`: with whom a node is connected, what it thinks of them, and whom it banned."""

from cli.chain import Chain
from cli.options import DEFAULT_RPC, Json, Rpc
from cli.output import print_json, print_line, print_table


def peers(rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show the connected peers with their scores, and who is banned."""
    with Chain(rpc) as chain:
        connected = chain.ask("system_peers")
        banned = chain.ask("system_bannedPeers")
    if as_json:
        print_json({"peers": connected, "banned": banned})
        return
    rows = [
        (
            peer["peerId"],
            peer["address"].partition("/p2p/")[0],
            peer["role"],
            peer["direction"],
            peer["finalizedHeight"],
            peer["score"],
        )
        for peer in connected
    ]
    print_table(("peer", "address", "role", "direction", "finalized", "score"), rows, "no peers")
    if banned:
        print_line("")
        print_table(("banned", "seconds left"), [(one["who"], one["secondsLeft"]) for one in banned], "")
