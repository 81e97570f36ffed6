"""What `make setup` installed is what the lock says, and py-libp2p works with it (docs/decisions/0001)."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tests.tidy.sources import ROOT

LOCKS: Final = sorted((ROOT / "lock").glob("*.txt"))

USE_STAND_IN: Final = """
import fastecdsa, sys
assert fastecdsa.__file__.startswith(sys.path[1]), fastecdsa.__file__
import libp2p.crypto.key_exchange
from libp2p.crypto.ecc import ECCPublicKey, create_new_key_pair
for use in (lambda: create_new_key_pair("P-256"), lambda: ECCPublicKey.from_bytes(bytes(65), "P-256")):
    try:
        use()
    except NotImplementedError as refused:
        print(refused)
"""


def test_two_hosts_of_the_whole_library_exchange_bytes_over_noise_and_yamux() -> None:
    """In an interpreter of its own: the node loads only parts of the library."""
    command = [sys.executable, "-m", "tests.tidy.two_hosts"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "hello\n"), ended.stderr


def pins() -> dict[str, tuple[str, str]]:
    """Version and marker of every locked package."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+)(.*)\\$", "\n".join(map(Path.read_text, LOCKS)), re.MULTILINE)
    return {name: (pinned, marker) for name, pinned, marker in found}


def test_every_pinned_version_is_the_installed_one() -> None:
    wrong = []
    for name, (pinned, marker) in pins().items():
        try:
            if version(name) != pinned:
                wrong.append((name, pinned, version(name)))
        except PackageNotFoundError:
            if not marker.strip():  # a marker leaves a package out on some machines
                wrong.append((name, pinned, "absent"))
    assert wrong == []


def test_lock_names_no_host_and_hashes_every_pin() -> None:
    for lock in LOCKS:
        entries = re.split(r"\n(?! )", lock.read_text().strip())
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert "://" not in lock.read_text()
        assert "index" not in lock.read_text()


def test_without_fastecdsa_libp2p_loads_and_refuses_p256_keys(tmp_path: Path) -> None:
    (tmp_path / "fastecdsa").mkdir()
    shutil.copy(ROOT / "lock/fastecdsa_stand_in.py", tmp_path / "fastecdsa/__init__.py")
    program = f"import sys; sys.path.insert(1, {str(tmp_path)!r})\n{USE_STAND_IN}"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (
        ended.stdout.splitlines()
        == ["P-256 keys are not supported: fastecdsa has no wheel for this machine"] * 2
    )
