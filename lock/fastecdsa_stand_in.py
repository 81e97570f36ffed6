"""Stands in for fastecdsa where it has no wheel (docs/decisions/0001); `lock/repair.py` puts it in .venv.

libp2p imports fastecdsa for P-256 keys, which this project neither makes nor accepts: every use is refused.
"""

import sys
from types import ModuleType
from typing import NoReturn


class _Refusal:
    """Whatever libp2p takes from fastecdsa when it is imported; calling it, or anything in it, fails."""

    def __getattr__(self, name: str) -> "_Refusal":
        return self

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("P-256 keys are not supported: fastecdsa has no wheel for this machine")


class _Absent(ModuleType):
    def __getattr__(self, name: str) -> _Refusal:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Refusal()


for _name in ("curve", "keys", "point", "encoding", "encoding.sec1", "encoding.util"):
    sys.modules[f"{__name__}.{_name}"] = _Absent(f"{__name__}.{_name}")
    if "." not in _name:
        globals()[_name] = sys.modules[f"{__name__}.{_name}"]
