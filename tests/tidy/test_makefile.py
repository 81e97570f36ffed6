"""The Makefile is read by make, and says what each of its targets is for."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_target_is_listed_and_no_file() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(" ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)).split())
    described = set(re.findall(r"^([a-z-]+):.* ## ", text, re.MULTILINE))
    assert phony == described
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target}" in listed for target in described)
