"""`make demo`: a local network does its whole job in front of you, and says in one line of JSON how it went.

Exit code 0 if every step showed what it promised; 1, with the reason, if one did not. Whatever happens, no
process is left behind.
"""

import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from cli.testnet_processes import Testnet
from examples.demo.narrator import DemoFailed, Narrator, run_consil
from examples.demo.real import LightReader, RealNetwork
from examples.demo.steps import Demo, steps

SUMMARY: Final = (
    "validators",
    "finalized_height",
    "finality_ms_p50",
    "transfer",
    "model",
    "inference",
    "crash",
    "light_client",
)
"""What the last line tells, in its order; a step that was not reached is absent."""

Step = tuple[str, Callable[[], None]]


def main() -> int:
    """Run the demonstration in a directory of its own."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    narrator = Narrator()
    with tempfile.TemporaryDirectory(prefix="consil-demo-") as temporary:
        directory = Path(temporary)
        network = RealNetwork(directory)
        demo = Demo(
            consil=partial(run_consil, narrator),
            network=network,
            reader=LightReader(network),
            narrator=narrator,
            directory=directory,
        )
        try:
            return perform(demo, steps(demo))
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # nothing keeps the processes from being stopped
            stop(directory)


def perform(demo: Demo, actions: Sequence[Step]) -> int:
    """Do the steps in order, print the summary, and return the exit code."""
    title = ""
    try:
        for number, (title, action) in enumerate(actions, 1):
            demo.narrator.title(number, title)
            action()
    except DemoFailed as failure:
        return _finish(demo, failed_step=title, reason=str(failure))
    except KeyboardInterrupt:
        return _finish(demo, failed_step=title, reason="interrupted")
    except Exception as error:  # noqa: BLE001  # the boundary: even a fault of the demonstration itself is told
        traceback.print_exc()
        return _finish(demo, failed_step=title, reason=f"{type(error).__name__}: {error}")
    return _finish(demo)


def stop(directory: Path) -> None:
    """End whatever still runs of the network in `directory`."""
    if (directory / "testnet.json").exists():
        Testnet.open(directory).stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A closed terminal and a polite kill are answered as Ctrl-C is."""
    raise KeyboardInterrupt


def _finish(demo: Demo, failed_step: str = "", reason: str = "") -> int:
    if reason:
        print(f"\nfailed in step '{failed_step}': {reason}", file=sys.stderr, flush=True)
    summary: dict[str, Any] = {"ok": not reason}
    if reason:
        summary |= {"failed_step": failed_step, "reason": reason}
    summary |= {name: demo.summary[name] for name in SUMMARY if name in demo.summary}
    summary["elapsed_s"] = round(demo.narrator.elapsed_s, 1)
    print(f"\n{json.dumps(summary)}", flush=True)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
