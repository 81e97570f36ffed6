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


def deterministic_files() -> list[Path]:
    """What must give the same bytes on every machine: on-chain code, and the cores that judge it."""
    on_chain = [path for folder in ON_CHAIN for path in (ROOT / folder).rglob("*.py")]
    return sorted([*on_chain, *(ROOT / "node").rglob("core.py"), *(ROOT / "node/light").glob("verify.py")])


def shown(path: Path) -> str:
    """The path as a person would type it."""
    return path.relative_to(ROOT).as_posix()
