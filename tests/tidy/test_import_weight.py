"""What starts fast or stays small loads no heavy library, as `sys.modules` of a fresh interpreter shows."""

import subprocess
import sys
from typing import Final

import pytest

from tests.tidy.sources import ROOT

ENGINES: Final = ("onnx", "onnxruntime")
HEAVY: Final = (*ENGINES, "libp2p", "lmdb")

LOAD_PALLETS: Final = """
import importlib, pkgutil, pallets
for module in pkgutil.walk_packages(pallets.__path__, "pallets."):
    importlib.import_module(module.name)
"""
SHOW_HELP: Final = """
import sys
from cli.main import main
sys.argv = ["consil", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""

PROGRAMS: Final = {
    "pallets": (LOAD_PALLETS, HEAVY),
    "cli.main": (SHOW_HELP, HEAVY),
    "node.light.verify": ("import node.light.verify", HEAVY),
    "node.node": ("import node.node", (*ENGINES, "numpy")),
}
"""The module that each program needs, the program, and what it must not load."""


def loaded_by(program: str, libraries: tuple[str, ...]) -> list[str]:
    """Those of `libraries` that a fresh interpreter holds after `program`."""
    report = f"\nimport sys\nprint('LOADED', *[name for name in {libraries!r} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", program + report],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("module", PROGRAMS)
def test_module_loads_nothing_heavy(module: str) -> None:
    program, libraries = PROGRAMS[module]
    assert loaded_by(program, libraries) == []


def test_a_heavy_import_is_seen() -> None:
    assert loaded_by("import lmdb", HEAVY) == ["lmdb"]
