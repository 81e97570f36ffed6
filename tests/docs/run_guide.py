"""The commands of the operator's guide, run as they stand there, in a directory of their own: `make guide`.

Nothing is repaired or skipped: the first command that fails ends it. Ports 21000 to 21119 have to be free.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

GUIDE: Final = Path(__file__).parents[2] / "docs" / "operators-guide.md"
TIMEOUT_S: Final = 600


def blocks() -> list[str]:
    """What stands between ```sh and ```."""
    return re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(directory: Path) -> int:
    """The exit code of all blocks together; whatever they started is ended."""
    script = directory / "guide.sh"
    script.write_text("set -euo pipefail\n" + "".join(blocks()), encoding="utf-8")
    found = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    child = subprocess.Popen(
        ["bash", "-v", str(script)], cwd=directory, env=os.environ | found, start_new_session=True
    )
    try:
        return child.wait(TIMEOUT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for log in sorted(directory.glob("*.log")):
            for line in log.read_text(encoding="utf-8").splitlines():
                if "CRITICAL" in line or "Traceback" in line or line.startswith("error"):
                    sys.stderr.write(f"{log.name}: {line}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="consil-guide-") as place:
        raise SystemExit(run(Path(place)))
