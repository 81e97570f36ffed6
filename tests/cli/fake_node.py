"""Stands in for `consil node run`: answers a few questions, and finalizes a block whenever it is asked.

Files in its base path change what it does: `refuse` its start, `end` at the next question, `brief` life,
`fork` other blocks from then on, `stall` no new block, `votes` a JSON list of votes that it has seen,
`banned` the peer id of one that it has banned, `history` what it has in the state.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Timer
from typing import Any, NoReturn

options = dict(zip(sys.argv, sys.argv[1:], strict=False))
base_path = Path(options["--base-path"])
height = 0


def is_told(what: str) -> bool:
    return (base_path / what).exists()


def next_height() -> int:
    global height  # noqa: PLW0603  # the state of a whole program
    height += not is_told("stall")
    return height


def hash_of(number: int) -> str:
    return f"0x{number + (is_told('fork') << 64):064x}"


def votes_from(start: int) -> dict[str, Any]:
    votes = json.loads((base_path / "votes").read_bytes()) if is_told("votes") else []
    return {"next": len(votes), "votes": votes[start:]}


def answer(method: str, params: list[Any]) -> Any:
    match method:
        case "chain_getHeader":
            return {"height": next_height(), "epoch": 1, "view": 1}
        case "light_finalizedHeight":
            return next_height()
        case "chain_getBlockHash":
            return hash_of(*params)
        case "chain_getEvents":
            return {"calls": [], "events": [{"pallet": "balances", "event": "Transferred", "fields": "0x"}]}
        case "consensus_votes":
            return votes_from(*params)
        case "system_consensus":
            return {"isVoting": True, "finalityMs": [10, 20, 90]}
        case "state_getStorage":
            return (base_path / "history").read_text() if is_told("history") else None
        case "system_bannedPeers":
            return (
                [{"who": (base_path / "banned").read_text(), "secondsLeft": 1}] if is_told("banned") else []
            )
        case "system_health":
            return {"peers": sys.argv.count("--bootnode")}
        case _:
            return "0x00"


def end(reason: str) -> NoReturn:
    sys.stderr.write(f"error: {reason}\n")
    sys.stderr.flush()
    os._exit(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        if is_told("end"):
            end("this is the end")
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = answer(request["method"], request["params"])
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The log is what this program prints."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped when told to"))
if is_told("refuse"):
    sys.exit("error: the disk is full; make room")
sys.stderr.write(f"started {options['--name']} as {os.getpid()}\n")
sys.stderr.flush()
if is_told("brief"):
    Timer(1.0, end, ["it was brief"]).start()
HTTPServer(("127.0.0.1", int(options["--rpc-port"])), Handler).serve_forever()
