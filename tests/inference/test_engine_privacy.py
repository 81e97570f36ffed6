"""The engine tells nobody about this machine and its models."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "inference").rglob("*.py")
    if re.search("^import onnxruntime", path.read_text(), re.MULTILINE)
)

LOAD_AND_LOOK = """
import importlib, os, pathlib, sys
importlib.import_module(sys.argv[1])
held = [os.readlink(each) for each in pathlib.Path("/proc/self/fd").iterdir() if os.path.exists(each)]
print([name for name in held if name.startswith(os.environ["HOME"])])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("module", MODULES)
def test_loading_the_engine_leaves_no_trace_in_the_home_directory(module: str, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    command = [sys.executable, "-c", LOAD_AND_LOOK, module]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []
