"""What a worker gives up, seen from inside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have a part of it")

THREADS = """
import json, threading
from inference import sandbox
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from inference.selftest.trial import trouble
engine = OnnxRuntimeEngine(threads=3)
entered = sandbox.enter(1 << 32)
trouble(engine)
sealed = sandbox.seal(entered)
found = trouble(engine)
print(json.dumps({"entered": entered.missing(), "sealed": sealed.missing(), "trouble": found}))
"""

LATE = """
import json, threading
from inference import sandbox
entered = sandbox.enter(1 << 32)
waiting = threading.Event()
threading.Thread(target=waiting.wait, daemon=True).start()
print(json.dumps({"sealed": sandbox.seal(entered).missing()}))
"""

STATUS = """
import json
from inference import sandbox
sandbox.enter(1 << 32)
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
capabilities = [int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")]
score = int(open("/proc/self/oom_score_adj").read())
print(json.dumps({"capabilities": capabilities, "no_new": int(lines["NoNewPrivs"]), "score": score}))
"""


def said(script: str) -> Any:
    """What a script prints, as JSON."""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@linux
def test_an_engine_of_several_threads_works_in_a_sealed_process() -> None:
    answer = said(THREADS)
    assert answer["trouble"] is None
    assert set(answer["sealed"]) < set(answer["entered"])


@linux
def test_files_are_not_called_protected_if_another_thread_could_open_them() -> None:
    assert "files" in said(LATE)["sealed"]


@linux
def test_a_worker_has_no_privileges_and_goes_first() -> None:
    assert said(STATUS) == {"capabilities": [0, 0, 0, 0], "no_new": 1, "score": 1000}
