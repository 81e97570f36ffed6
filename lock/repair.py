"""Puts right two packages that are wrong as published, after pip has installed them (docs/decisions/0001)."""

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path


def repair(packages: Path, stand_in: Path) -> None:
    """Give fastecdsa a stand-in where it has no wheel, and remove the outdated types of trio.

    trio carries its own types, which those of trio-typing, that libp2p imports, would hide from mypy.
    """
    shutil.rmtree(packages / "trio-stubs", ignore_errors=True)
    if find_spec("fastecdsa") is None:
        (packages / "fastecdsa").mkdir()
        shutil.copy(stand_in, packages / "fastecdsa" / "__init__.py")


if __name__ == "__main__":
    repair(Path(sysconfig.get_path("purelib")), Path(__file__).with_name("fastecdsa_stand_in.py"))
