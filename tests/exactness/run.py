"""How many distinct outputs the test models have.

    python -m tests.exactness.run [--json] [--resume] [NAME...]

Each model is run as its float original, as its exact form, as its exact form of bytes if it has
convolutions, and as the int8 twins of these: on 1, 2 and 4 threads, at every level of optimisation, with
batches of 1, 2 and 8 (or so many runs at the same time), with other ways to use a session, by several
versions of onnxruntime, and on emulated processors; exact forms by other libraries as well. All vectors of
the self-test are run likewise. What could not be run is said, with the reason. Exits 1 if an exact form
gave anything but one output.

The first run fetches half a gigabyte into build/exactness. A run of everything takes half an hour on two
idle cores; progress goes to standard error. After an interruption --resume goes on: it keeps what earlier
runs made of the same files.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any, Final

from inference.engines.onnx_runtime import SETTINGS
from inference.refusal import Refused
from tests.exactness.cases import SELF_TEST, Case, Form, Prepared, prepare, prepare_self_test
from tests.exactness.evidence import Evidence, show
from tests.exactness.journal import Journal
from tests.exactness.machines import Machine, every, ways
from tests.models.load import TestModel, large_names, load, names

FOLDER: Final = Path(__file__).parents[2] / "build" / "exactness"
RUNNER: Final = Path(__file__).with_name("runner.py")
BESIDE: Final = ("runner.py", "libraries.py", "variations.py")
"""What other interpreters read."""

RUNNER_S: Final = 3600.0
"""A runner that takes longer over its cases hangs, and is ended."""

BATCH: Final = 30
"""Cases that one runner is given: few enough that all jobs end at about the same time."""

JOBS: Final = 2
"""Runners, or conversions, at the same time: some have four threads."""

EMULATED_ROWS: Final = (1, 2)


def collect(
    machine: Machine,
    cases: Sequence[Case],
    folder: Path,
    evidence: Evidence,
    journal: Journal,
    runner: Path = RUNNER,
) -> None:
    """Run the cases on a machine. One that ends the runner is noted, and the next ones go on."""
    waiting = {case.name: case for case in cases}
    keys = {name: key(machine, case, folder) for name, case in waiting.items()}
    for name, hashed in keys.items():
        if (lines := journal.get(hashed)) is not None:
            enter(lines, machine, waiting.pop(name), evidence)
    while waiting:
        failure, heard = "", list[dict[str, Any]]()
        for line in spoken(machine, list(waiting.values()), folder, runner):
            if "features" in line:
                with evidence.lock:
                    evidence.machines[machine.name] = line
            elif "done" in line:
                heard.append(evidence.machines[machine.name])
                enter(heard, machine, waiting.pop(line["done"]), evidence)
                journal.put(keys[line["done"]], heard)
                heard = []
            elif "ended" in line:
                failure = line["ended"]
            else:
                heard.append(line)
        if not waiting:
            return
        stopped = next(iter(waiting))
        enter(heard, machine, waiting.pop(stopped), evidence)
        with evidence.lock:
            evidence.missing[f"{machine.name}: {stopped}"] = failure
            if machine.name not in evidence.machines:
                evidence.missing[machine.name] = f"the interpreter does not start: {failure}"
                return


def key(machine: Machine, case: Case, folder: Path) -> str:
    """Names everything on which the answers of a case depend, but for the machine's own hardware."""
    state = hashlib.sha256(repr((machine, case, platform.platform())).encode())
    files = [RUNNER.with_name(name) for name in BESIDE]
    files += [folder / f"{case.name}.{suffix}" for suffix in ("onnx", "npz")]
    for file in files:
        state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()


def enter(lines: Iterable[Mapping[str, Any]], machine: Machine, case: Case, evidence: Evidence) -> None:
    """What a runner said of one case."""
    with evidence.lock:
        for line in lines:
            if "hash" in line:
                evidence.add(machine, case, line)
            elif "features" in line:
                evidence.machines[machine.name] = dict(line)
            else:
                where = f"{machine.name}: {case.name}, {line['setting']}"
                evidence.missing[where] = line["refused"]


def spoken(machine: Machine, cases: Sequence[Case], folder: Path, runner: Path) -> Iterator[dict[str, Any]]:
    """The lines of one runner; the last says why it ended, if it ended early."""
    plan = {
        "library": machine.library,
        "threads": machine.threads,
        "levels": machine.levels,
        "variations": machine.variations,
        "entries": SETTINGS,
        "cases": [planned(case, machine) for case in cases],
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [*machine.command, str(runner), str(folder)],
            env=environment | dict(machine.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        limit = Timer(RUNNER_S, process.kill)
        limit.start()
        try:
            with process:
                process.stdin.write(json.dumps(plan))
                process.stdin.close()
                for line in process.stdout:
                    yield json.loads(line)
        finally:
            limit.cancel()
        if process.returncode:
            complaints.seek(0)
            said = complaints.read().strip().splitlines()
            reason = said[-1][:200] if said else ""
            yield {"ended": f"the runner ended with code {process.returncode}: {reason}"}


def planned(case: Case, machine: Machine) -> Mapping[str, Any]:
    few = EMULATED_ROWS if machine.emulated else case.rows[:1] if machine.foreign else case.rows
    rows = tuple(each for each in few if each in case.rows)
    return {"name": case.name, "outputs": case.outputs, "stacked": case.stacked, "rows": rows}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model, as far as it came."""

    name: str
    prepared: tuple[Prepared, ...]
    refused: str = ""


def attempt(model: TestModel, folder: Path) -> Attempt:
    """All that can be prepared of a model, and why there is no more."""
    done: list[Prepared] = []
    try:
        done.extend(prepare(model, folder))
    except Refused as refused:
        return Attempt(model.name, tuple(done), f"it does not convert: {refused}")
    return Attempt(model.name, tuple(done))


def attempt_named(name: str, folder: Path) -> Attempt:
    """The same, in a process of its own."""
    if name == SELF_TEST:
        return Attempt(name, tuple(prepare_self_test(folder)))
    return attempt(load(name), folder)


def admitted(attempts: Iterable[Attempt], evidence: Evidence) -> list[Prepared]:
    """What was prepared; the rest is noted."""
    done = []
    for each in attempts:
        note(f"prepared {each.name}" + (f": {each.refused}" if each.refused else ""))
        if each.refused:
            evidence.missing[each.name] = each.refused
        for one in each.prepared:
            evidence.enter(one)
            done.append(one)
    return done


def suitable(one: Prepared, machine: Machine) -> tuple[Case, ...]:
    """The cases that a machine is given."""
    if machine.emulated and not one.small:
        return ()
    return tuple(case for case in one.cases if case.form is Form.EXACT or not machine.foreign)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(chosen: Sequence[str], folder: Path, wanted: Sequence[str], journal: Journal) -> Evidence:
    """All of it: fetch, prepare, run."""
    evidence, machines = Evidence(), list[Machine]()
    held = folder / "cases"
    held.mkdir(parents=True, exist_ok=True)
    for machine in every(folder, wanted):
        if isinstance(machine, Machine):
            machines.append(machine)
        else:
            evidence.missing[machine[0]] = machine[1]
    largest_first = sorted(chosen, key=lambda name: name not in large_names())
    with ProcessPoolExecutor(JOBS, mp_context=get_context("spawn")) as pool:
        models = admitted(pool.map(attempt_named, largest_first, [held] * len(chosen)), evidence)
    jobs: list[Callable[[], str]] = []
    for machine in sorted(machines, key=lambda each: not each.emulated):
        cases = [case for one in models for case in suitable(one, machine)]
        jobs += [
            job(machine, cases[at : at + BATCH], held, evidence, journal)
            for at in range(0, len(cases), BATCH)
        ]
    with ThreadPoolExecutor(JOBS) as threads:
        for count, done in enumerate(threads.map(lambda each: each(), jobs), 1):
            note(f"{count} of {len(jobs)} batches: {done}")
    return evidence


def job(
    machine: Machine, cases: Sequence[Case], folder: Path, evidence: Evidence, journal: Journal
) -> Callable[[], str]:
    """Runs a batch and says what it was."""

    def run() -> str:
        collect(machine, cases, folder, evidence, journal)
        return f"{len(cases)} cases, {machine.name}"

    return run


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 if every exact form gave one output."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exactness.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="test models; all of them by default")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--resume", action="store_true", help="keep what earlier runs made of the same files")
    options = parser.parse_args(arguments)
    known = [*names(), *large_names(), SELF_TEST]
    if unknown := set(options.names) - set(known):
        parser.error(f"no test model {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    journal = Journal(FOLDER / "journal.jsonl", keep=options.resume)
    evidence = measure(options.names or known, FOLDER, tuple(ways()), journal)
    return conclude(evidence, as_json=options.json)


def conclude(evidence: Evidence, *, as_json: bool) -> int:
    """Print it; the exit code."""
    if as_json:
        print(json.dumps(evidence.document()))
    else:
        print(f"On {platform.platform()}")
        show(evidence)
    return 0 if evidence.exact else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
