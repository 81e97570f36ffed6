"""The conformance suite through a real model server.

    python -m tests.conformance.servers ENVIRONMENT [COUNT]

ENVIRONMENT is the folder of an environment with onnxruntime and either MLServer or KServe. The server listens
on loopback alone and ends with this program.
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

RUNTIMES = Path(__file__).resolve().parents[2] / "examples" / "remote"
START_S = 120.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def mlserver(environment: Path, repository: Path, port: int) -> list[str]:
    """The command that starts it; its settings are written into the repository."""
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
    return [str(environment / "bin" / "mlserver"), "start", str(repository)]


def kserve(environment: Path, repository: Path, port: int) -> list[str]:
    """The command that starts it."""
    return [
        str(environment / "bin" / "python"),
        str(RUNTIMES / "kserve_server.py"),
        str(repository),
        str(port),
    ]


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server is alive. Raises SystemExit."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if server.ask("GET", "health/live", None, 65536)[0] == 200:
                return
        except EngineError:
            time.sleep(0.2)
    raise SystemExit(f"the server does not start: {log.read_text()[-2000:]}")


def main() -> None:
    """Start the server, run the suite, end the server."""
    environment, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    kind = mlserver if (environment / "bin" / "mlserver").exists() else kserve
    with tempfile.TemporaryDirectory(prefix="consil-server-") as directory:
        repository, port = Path(directory), _free_port()
        log = repository / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                kind(environment, repository, port),
                env=os.environ | {"PYTHONPATH": str(RUNTIMES)},
                stdout=said,
                stderr=said,
            )
            try:
                server = server_at(f"http://127.0.0.1:{port}")
                _wait(server, process, log)
                start = time.monotonic()
                ensure_conforming(RemoteEngine(server, repository), count)
                seconds = round(time.monotonic() - start, 1)
                print(json.dumps({"conforms": True, "server": kind.__name__, "seconds": seconds}))
            finally:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
