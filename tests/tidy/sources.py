"""The project's own Python files, by the rules that hold for them."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

LAYERS: Final = ("cli", "node", "chainspec", "runtime", "pallets", "frame", "inference", "primitives")
ON_CHAIN: Final = ("primitives", "frame", "pallets", "runtime")


def every_file() -> list[Path]:
    """Every Python file of the project, tests and scripts too."""
    folders = (*LAYERS, "benchmarks", "examples", "lock", "tests")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


TRIO_SHELLS: Final = ("service", "instant")
"""Modules of the consensus that wait, and so count in trio's seconds."""


def agreed_files() -> list[Path]:
    """What must give the same result everywhere: on-chain code, consensus, the verifier of their proofs."""
    on_chain = [path for folder in ON_CHAIN for path in (ROOT / folder).rglob("*.py")]
    consensus = [path for path in (ROOT / "node/consensus").glob("*.py") if path.stem not in TRIO_SHELLS]
    return sorted([*on_chain, *consensus, *(ROOT / "node/light").glob("verify.py")])


def replayed_files() -> list[Path]:
    """Cores of a node's own duties: the same inputs must give the same actions, in a test or a simulation."""
    return sorted(set((ROOT / "node").rglob("core.py")) - set(agreed_files()))


def shown(path: Path) -> str:
    """The path as a person would type it."""
    return path.relative_to(ROOT).as_posix()
