"""The second line of defence against reading files, alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from inference.landlock import ruleset

ROOT = Path(__file__).resolve().parents[2]

TRY = """
import os, sys
from inference import sandbox
from inference.landlock import forbid_files
assert sandbox.enter(1 << 32).privileges
open("/etc/passwd").close()
if not forbid_files():
    sys.exit("no landlock")
for attempt in (lambda: open("/etc/passwd"), lambda: os.listdir("/"), lambda: open("made", "w")):
    try:
        attempt()
    except PermissionError:
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a part of Linux")
def test_no_file_can_be_opened_any_more(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TRY],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "no landlock" in ended.stderr:
        pytest.skip("this kernel has no Landlock")
    assert ended.stdout.split() == ["refused"] * 3
    assert list(tmp_path.iterdir()) == []


def test_each_version_is_asked_for_what_it_knows_and_no_more() -> None:
    assert [len(ruleset(version)) for version in (1, 3, 4, 5, 6, 9)] == [8, 8, 16, 16, 24, 24]
    files = [int.from_bytes(ruleset(version)[:8], "little") for version in (1, 2, 3, 4, 5, 9)]
    assert files == [2**13 - 1, 2**14 - 1, 2**15 - 1, 2**15 - 1, 2**16 - 1, 2**16 - 1]
