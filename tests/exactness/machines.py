"""Where cases are run: this environment, other onnxruntime versions, emulated processors, other libraries.

What is missing is fetched into an ignored folder, from the Python index and Debian's archive; nothing is
installed in the system. What cannot be had is said, with the reason.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.exactness.variations import VARIATIONS

OTHER_VERSIONS: Final = {"1.17.3": "1.26.4", "1.20.1": "2.0.2", "1.24.4": "2.2.6"}
"""Versions of onnxruntime, each with a numpy of its time."""

OTHER_LIBRARIES: Final = {
    "openvino": "2026.4.1",
    "tract": "0.23.9",
    "opencv-python-headless": "5.0.0.93",
}
"""Libraries that read ONNX files with kernels of their own, each with numpy alone."""

OTHER_NUMPY: Final = "2.4.6"

X86_PROCESSORS: Final = ("Nehalem", "Haswell")
"""The one has SSE4.2 and no AVX, the other AVX2 and fused multiply-add."""

ARM_PROCESSORS: Final = ("cortex-a53", "cortex-a76")
"""The one has neither dot products of bytes nor half precision, the other both."""

ARM_VERSION: Final = "1.24.4"
"""The newest onnxruntime of which this emulator does not die while loading it."""

ARM_PYTHON: Final = (
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libexpat1",
    "libssl3",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
    "libuuid1",
)
"""Debian's packages of an interpreter, and of what it and the wheels load."""

FETCH_S: Final = 900.0

EMULATED_THREADS: Final = (1, 2)
EMULATED_LEVELS: Final = ("none", "all")
THREADS: Final = (1, 2, 4)
LEVELS: Final = ("none", "basic", "extended", "all")


class Missing(Exception):
    """Something cannot be had on this machine; the text says what and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An interpreter with numpy and onnxruntime."""

    name: str
    command: tuple[str, ...]
    """What a script and its arguments are appended to."""
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: tuple[int, ...] = THREADS
    levels: tuple[str, ...] = LEVELS
    emulated: bool = False
    """It is slow: it runs small models only."""
    library: str = "onnxruntime"
    variations: tuple[str, ...] = ()

    @property
    def foreign(self) -> bool:
        """It is another implementation: it passes the self-test, or what it gives does not count."""
        return self.library != "onnxruntime"


Way = Callable[[Path], list[Machine]]


def here() -> Machine:
    return Machine(
        name=f"onnxruntime {version('onnxruntime')}", command=(sys.executable,), variations=tuple(VARIATIONS)
    )


def ways() -> dict[str, Way]:
    """What can be tried beside this environment; each raises Missing."""
    named: dict[str, Way] = {
        f"onnxruntime {wanted}": partial(other_version, wanted=wanted) for wanted in OTHER_VERSIONS
    }
    named |= {library: partial(other_library, library=library) for library in OTHER_LIBRARIES}
    return named | {"onnx": standard, "emulated x86": emulated_x86, "emulated ARM": emulated_arm}


def other_version(folder: Path, wanted: str) -> list[Machine]:
    """An environment with that version of onnxruntime."""
    python = environment(folder, "onnxruntime", wanted, OTHER_VERSIONS[wanted])
    return [Machine(name=f"onnxruntime {wanted}", command=(python,), variations=tuple(VARIATIONS))]


def other_library(folder: Path, library: str) -> list[Machine]:
    """An environment with another library."""
    wanted = OTHER_LIBRARIES[library]
    python = environment(folder, library, wanted, OTHER_NUMPY)
    levels = ("latency", "throughput") if library == "openvino" else ("all",)
    threads = (1,) if library == "tract" else THREADS
    return [
        Machine(
            name=f"{library} {wanted}", command=(python,), levels=levels, threads=threads, library=library
        )
    ]


def standard(_folder: Path) -> list[Machine]:
    """The evaluator that comes with the ONNX standard, in this environment."""
    name = f"onnx {version('onnx')}"
    return [Machine(name=name, command=(sys.executable,), levels=("all",), threads=(1,), library="onnx")]


def environment(folder: Path, library: str, wanted: str, numpy: str) -> str:
    """The interpreter of an environment with that version of a library. Raises Missing."""
    home = folder / f"{library}-{wanted}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        shutil.rmtree(home, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(home))
        run(str(python), *PIP_INSTALL, f"{library}=={wanted}", f"numpy=={numpy}")
        (home / "ready").touch()
    return str(python)


PIP_INSTALL: Final = ("-m", "pip", "install", "-qq", "--no-deps", "--only-binary", ":all:")


def emulated_x86(folder: Path) -> list[Machine]:
    """This environment on other x86 processors."""
    if platform.machine() != "x86_64":
        raise Missing(f"this interpreter is of {platform.machine()}: x86 is emulated on x86 alone")
    qemu = emulator(folder, "qemu-x86_64")
    return [
        Machine(
            name=f"emulated {processor}, onnxruntime {version('onnxruntime')}",
            command=(qemu, "-cpu", processor, sys.executable),
            threads=EMULATED_THREADS,
            levels=EMULATED_LEVELS,
            emulated=True,
        )
        for processor in X86_PROCESSORS
    ]


def emulated_arm(folder: Path) -> list[Machine]:
    """Debian's Python for 64-bit ARM with wheels for it, unpacked beside each other."""
    qemu = emulator(folder, "qemu-aarch64")
    root = folder / "aarch64"
    site = root / "site"
    if not (root / "ready").exists():
        shutil.rmtree(root, ignore_errors=True)
        unpack(folder, "arm64", ARM_PYTHON, root)
        wheels = [
            part for tag in ("2_28", "2_27", "2_17") for part in ("--platform", f"manylinux_{tag}_aarch64")
        ]
        packages = (f"onnxruntime=={ARM_VERSION}", f"numpy=={OTHER_VERSIONS[ARM_VERSION]}")
        wheels += ["--platform", "manylinux2014_aarch64", "--python-version", "3.11", "--target", str(site)]
        run(sys.executable, *PIP_INSTALL, *wheels, *packages)
        (root / "ready").touch()
    return [
        Machine(
            name=f"emulated {processor}, onnxruntime {ARM_VERSION}",
            command=(qemu, "-cpu", processor, "-L", str(root), str(root / "usr" / "bin" / "python3.11")),
            environment={"PYTHONHOME": "/usr", "PYTHONPATH": str(site)},
            threads=EMULATED_THREADS,
            levels=EMULATED_LEVELS,
            emulated=True,
        )
        for processor in ARM_PROCESSORS
    ]


def emulator(folder: Path, name: str) -> str:
    """The program, of this system or fetched. Raises Missing."""
    if found := shutil.which(name) or shutil.which(f"{name}-static"):
        return found
    program = folder / "qemu" / "usr" / "bin" / f"{name}-static"
    if not program.exists():
        unpack(folder, run("dpkg", "--print-architecture").strip(), ["qemu-user-static"], folder / "qemu")
    return str(program)


def unpack(folder: Path, architecture: str, packages: Sequence[str], target: Path) -> None:
    """Fetch Debian packages with lists of our own, so that the system's stay as they are. Raises Missing."""
    if not shutil.which("apt-get"):
        raise Missing("there is no apt-get, which would fetch Debian's packages")
    work = folder / f"apt-{architecture}"
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (work / name).mkdir(parents=True, exist_ok=True)
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work / "cache",
    }
    apt = ["apt-get", "-qq", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    run(*apt, "update")
    run(*apt, "download", *packages, cwd=work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        run("dpkg", "-x", str(package), str(target))


def run(*command: str, cwd: Path | None = None) -> str:
    """What the command printed. Raises Missing with the last line of its complaint."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            check=False,
            env=dict(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Missing(f"{Path(command[0]).name}: {said[:200]}")
    return done.stdout


def every(folder: Path, chosen: Sequence[str]) -> Iterator[Machine | tuple[str, str]]:
    """This environment, then each chosen way; or a way's name and why it is missing."""
    yield here()
    for name, way in ways().items():
        if name not in chosen:
            continue
        try:
            yield from way(folder)
        except Missing as missing:
            yield name, str(missing)
