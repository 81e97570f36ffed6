"""Every codec and every protocol that the program declares, found by looking: none can be forgotten."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from primitives.codec import Codec
from runtime.pallets import PALLETS

PACKAGES: Final = ("primitives", "inference", "frame", "pallets", "runtime", "chainspec", "node", "cli")
PROTOCOL_PREFIX: Final = "/consilience/"


def modules() -> Iterator[ModuleType]:
    """All of the program, except what starts it."""
    for package in PACKAGES:
        root = import_module(package)
        yield root
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                yield import_module(found.name)


def codecs() -> dict[str, Codec[Any]]:
    """By the module and the name of each; then those of the arguments of every call and view."""
    found: dict[str, Codec[Any]] = {}
    seen: set[int] = set()
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, Codec) and id(value) not in seen:
                seen.add(id(value))
                found[f"{module.__name__}.{name}"] = value
    for pallet in PALLETS.values():
        for call in pallet.calls.values():
            found[f"{pallet.NAME}.{call.name}"] = call.arguments
        for name, view in pallet.views.items():
            found[f"{pallet.NAME}.{name}()"] = view.arguments
    return found


def protocols() -> set[str]:
    """Every name of a protocol that a module holds."""
    return {
        value
        for module in modules()
        for name, value in vars(module).items()
        if name.endswith("PROTOCOL") and isinstance(value, str) and value.startswith(PROTOCOL_PREFIX)
    }
