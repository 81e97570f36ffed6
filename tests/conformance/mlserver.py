"""The conformance suite through a real MLServer: `python -m tests.conformance.mlserver MLSERVER [COUNT]`.

MLSERVER is its program, in an environment that has onnxruntime as well. The server listens on loopback alone
and ends with this program.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inference.engines.interface import EngineError
from inference.engines.remote import RemoteEngine, Server, server_at
from tests.conformance.engines import ensure_conforming

RUNTIME = Path(__file__).resolve().parents[2] / "examples" / "remote"
START_S = 120.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Until the server is ready. Raises SystemExit."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if server.ask("GET", "health/ready", None, 65536)[0] == 200:
                return
        except EngineError:
            time.sleep(0.2)
    raise SystemExit("MLServer does not start")


def main() -> None:
    """Start the server, run the suite, end the server."""
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory(prefix="consil-mlserver-") as directory:
        repository, port = Path(directory), _free_port()
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": _free_port(),
            "metrics_port": _free_port(),
            "parallel_workers": 0,
            "debug": False,
            "load_models_at_startup": False,
        }
        (repository / "settings.json").write_text(json.dumps(settings))
        with (repository / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "start", directory],
                env=os.environ | {"PYTHONPATH": str(RUNTIME)},
                stdout=log,
                stderr=log,
            )
            try:
                server = server_at(f"http://127.0.0.1:{port}")
                _wait(server, process)
                start = time.monotonic()
                ensure_conforming(RemoteEngine(server, repository), count)
                seconds = round(time.monotonic() - start, 1)
                print(json.dumps({"conforms": True, "server": "MLServer", "seconds": seconds}))
            finally:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
