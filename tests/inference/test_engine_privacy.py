"""The engine tells nobody about this machine and its models."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOAD_AND_LOOK = """
import os, pathlib
import inference.engines.onnx_runtime
held = [os.readlink(each) for each in pathlib.Path("/proc/self/fd").iterdir() if os.path.exists(each)]
print([name for name in held if name.startswith(os.environ["HOME"])])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_the_engine_leaves_no_trace_in_the_home_directory(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    ended = subprocess.run(
        [sys.executable, "-c", LOAD_AND_LOOK], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []
