"""Other ways to use an onnxruntime session: each changes a thing that might change what is added when.

Read by other interpreters, like the runner. What the engine's `SETTINGS` turn off stays off, but in the
first.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.exactness.libraries import Arrays, Session, configured, onnxruntime, opened

THREADS = 2
LEVEL = "all"

Entries = Mapping[str, str]


def changed(
    file: bytes, entries: Entries, more: Entries | None = None, attributes: Mapping[str, Any] | None = None
) -> Session:
    """With more entries of the configuration, or other attributes of the options."""
    options = configured(THREADS, LEVEL, {**entries, **(more or {})})
    for name, value in (attributes or {}).items():
        setattr(options, name, type(getattr(options, name))(value))
    return opened(file, options)


def stored(file: bytes, entries: Entries, suffix: str) -> Session:
    """Rewritten as far as can be, written to a file, and read from there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rewritten.{suffix}"
        options = configured(THREADS, LEVEL, {**entries, "session.save_model_format": suffix.upper()})
        options.optimized_model_filepath = str(path)
        opened(file, options)
        return opened(path.read_bytes(), configured(THREADS, "none", entries))


def shifted(array: Any) -> Any:
    """The same numbers one element further than where memory is aligned."""
    room = np.empty(array.size + 1 + 64, array.dtype)
    start = -(room.ctypes.data // array.itemsize) % (64 // array.itemsize) + 1
    held = room[start : start + array.size].reshape(array.shape)
    held[...] = array
    return held


class Unaligned:
    """Inputs and outputs lie one element past a multiple of 64 bytes, and are bound before the run."""

    def __init__(self, file: bytes, entries: Entries) -> None:
        self.session: Any = onnxruntime(file, THREADS, LEVEL, entries)

    def run(self, outputs: Sequence[str] | None, feed: Arrays) -> list[Any]:
        names = list(outputs or (port.name for port in self.session.get_outputs()))
        inputs = {name: shifted(np.ascontiguousarray(array)) for name, array in feed.items()}
        results = [shifted(np.zeros_like(each)) for each in self.session.run(names, inputs)]
        binding = self.session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name, array in zip(names, results, strict=True):
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self.session.run_with_iobinding(binding)
        return results


VARIATIONS: Mapping[str, Callable[[bytes, Entries], Session]] = {
    "as the library comes": lambda file, _entries: onnxruntime(file, THREADS, LEVEL, {}),
    "nodes in parallel": partial(changed, attributes={"execution_mode": 1, "inter_op_num_threads": 2}),
    "no arena, no plan of memory": partial(
        changed,
        attributes={"enable_cpu_mem_arena": False, "enable_mem_pattern": False, "enable_mem_reuse": False},
    ),
    "deterministic kernels": partial(changed, attributes={"use_deterministic_compute": True}),
    "weights not packed": partial(changed, more={"session.disable_prepacking": "1"}),
    "small numbers as zero": partial(changed, more={"session.set_denormal_as_zero": "1"}),
    "blocks of changing size": partial(
        changed, more={"session.dynamic_block_base": "4", "session.intra_op.allow_spinning": "0"}
    ),
    "other kernels of blocked layout": partial(
        changed,
        more={"mlas.nchwc_depthwise_sliding": "1", "mlas.nchwc_pointwise_conv_max_input_channel_batch": "16"},
    ),
    "more rewriting": partial(
        changed,
        more={
            "session.graph_optimizations_loop_level": "2",
            "optimization.enable_cast_chain_elimination": "1",
        },
    ),
    "rewritten, stored and read": partial(stored, suffix="onnx"),
    "stored in the library's format": partial(stored, suffix="ort"),
    "unaligned and bound": Unaligned,
}
