"""Runs every benchmark, each in a process of its own; each prints one line of JSON.

A benchmark is a script of this folder, run as `python -m benchmarks.NAME`. Its figures are published, never
asserted. One that fails, or prints anything else, is named on standard error; the others still run, and the
exit code is 1.
"""

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Exit code: 1 if any benchmark failed."""
    scripts = (path for path in sorted(FOLDER.glob("*.py")) if path != Path(__file__))
    names = [path.stem for path in scripts if '__name__ == "__main__"' in path.read_text()]
    failed = [name for name in names if not measured(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def measured(name: str) -> bool:
    """Run one benchmark and print its line; whether it gave one."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    ended = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
    print(ended.stdout, end="", flush=True)
    return ended.returncode == 0 and is_json(ended.stdout)


def is_json(text: str) -> bool:
    """Whether `text` is one JSON value and nothing else."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
