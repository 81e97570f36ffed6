"""The commands of the guides, run as they stand there, in a directory of their own: `make guide`.

Nothing is repaired or skipped: the first command that fails ends it. Ports 21000 to 21200 have to be free.
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

REPOSITORY: Final = Path(__file__).parents[2]
GUIDE: Final = REPOSITORY / "docs" / "operators-guide.md"
MODELS_GUIDE: Final = REPOSITORY / "docs" / "models-guide.md"
TIMEOUT_S: Final = 600


def blocks(guide: Path = GUIDE) -> list[str]:
    """What stands between ```sh and ```."""
    return re.findall(r"^```sh\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(guide: Path, directory: Path) -> int:
    """The exit code of all blocks of a guide together; whatever they started is ended."""
    script = directory / "guide.sh"
    script.write_text("set -euo pipefail\n" + "".join(blocks(guide)), encoding="utf-8")
    found = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    found["REPOSITORY"] = str(REPOSITORY)
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


def main() -> int:
    """Every guide in a directory of its own; the exit code of the first that fails."""
    for guide in (MODELS_GUIDE, GUIDE):
        with tempfile.TemporaryDirectory(prefix="consil-guide-") as place:
            code = run(guide, Path(place))
        if code:
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
