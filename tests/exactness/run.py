"""How many distinct outputs the test models have: `python -m tests.exactness.run [--json] [NAME...]`.

Each model is run as its float original, as its exact form and, where it has one, as the int8 twin of that:
on 1, 2 and 4 threads, at every level of optimisation, with batches of 1, 2 and 8 (or so many runs at the same
time), by several versions of onnxruntime, and on emulated processors. Vectors of the self-test that have a
twin are run likewise. What could not be run is said, with the reason. Exits 1 if an exact form gave anything
but one output.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any, Final

from cli.output import print_table
from inference.engines.onnx_runtime import SETTINGS
from inference.refusal import Refused
from tests.exactness.cases import SELF_TEST, Case, Form, Prepared, prepare, prepare_self_test
from tests.exactness.machines import Machine, every, ways
from tests.models.load import TestModel, large_names, load, names

FOLDER: Final = Path(__file__).parents[2] / "build" / "exactness"
RUNNER: Final = Path(__file__).with_name("runner.py")

RUNNER_S: Final = 3600.0
"""A runner that takes longer over its cases hangs, and is ended."""

EMULATED_ROWS: Final = (1, 2)


@dataclass(slots=True)
class Tally:
    """What one model gave: for each form, which settings gave which hash."""

    hashes: dict[Form, dict[str, list[str]]] = field(default_factory=lambda: {form: {} for form in Form})

    def add(self, form: Form, hashed: str, setting: str) -> None:
        self.hashes[form].setdefault(hashed, []).append(setting)

    def distinct(self, *forms: Form) -> int:
        return len({hashed for form in forms for hashed in self.hashes[form]})

    def settings(self, form: Form) -> int:
        return sum(len(each) for each in self.hashes[form].values())


@dataclass(slots=True)
class Evidence:
    """The result of a run."""

    models: dict[str, Tally] = field(default_factory=dict)
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """What was not run, and why."""

    @property
    def exact(self) -> bool:
        """Every exact form gave one output, the same as its twin."""
        return bool(self.models) and all(
            tally.distinct(Form.EXACT, Form.INT8) == 1 and tally.settings(Form.EXACT)
            for tally in self.models.values()
        )

    def document(self) -> dict[str, Any]:
        return {
            "exact": self.exact,
            "models": {name: _figures(tally) for name, tally in self.models.items()},
            "machines": self.machines,
            "not_run": self.missing,
        }


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "float_outputs": tally.distinct(Form.FLOAT),
        "float_settings": tally.settings(Form.FLOAT),
        "exact_outputs": tally.distinct(Form.EXACT, Form.INT8),
        "exact_settings": tally.settings(Form.EXACT),
        "int8_settings": tally.settings(Form.INT8),
        "hashes": {form.value: tally.hashes[form] for form in Form},
    }


def collect(
    machine: Machine, cases: Sequence[Case], folder: Path, evidence: Evidence, runner: Path = RUNNER
) -> None:
    """Run the cases on a machine. One that ends the runner is noted, and the next ones go on."""
    waiting = {case.name: case for case in cases}
    while waiting:
        failure = ""
        refused: dict[str, str] = {}
        for line in spoken(machine, list(waiting.values()), folder, runner):
            if "features" in line:
                evidence.machines[machine.name] = line
            elif "done" in line:
                del waiting[line["done"]]
            elif "hash" in line:
                case = waiting[line["case"]]
                setting = (
                    f"{machine.name}, threads {line['threads']}, level {line['level']}, rows {line['rows']}"
                )
                evidence.models[case.model].add(case.form, line["hash"], setting)
            elif "refused" in line:
                where = f"level {line['level']}" + (f", rows {line['rows']}" if "rows" in line else "")
                refused.setdefault(f"{line['case']}, {where}", line["refused"])
            else:
                failure = line["ended"]
        evidence.missing |= {f"{machine.name}: {where}": reason for where, reason in refused.items()}
        if not waiting:
            return
        stopped = next(iter(waiting))
        evidence.missing[f"{machine.name}: {stopped}"] = failure
        del waiting[stopped]
        if machine.name not in evidence.machines:
            evidence.missing[machine.name] = f"the interpreter does not start: {failure}"
            return


def spoken(machine: Machine, cases: Sequence[Case], folder: Path, runner: Path) -> Iterator[dict[str, Any]]:
    """The lines of one runner; the last says why it ended, if it ended early."""
    plan = {
        "threads": machine.threads,
        "levels": machine.levels,
        "entries": SETTINGS,
        "cases": [planned(case, machine) for case in cases],
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    log = folder / "runner.log"
    with log.open("w+") as complaints:
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
        said = log.read_text().strip().splitlines()
        yield {"ended": f"the runner ended with code {process.returncode}: {said[-1][:200] if said else ''}"}


def planned(case: Case, machine: Machine) -> Mapping[str, Any]:
    rows = EMULATED_ROWS if machine.emulated else case.rows
    rows = tuple(each for each in rows if each in case.rows)
    return {"name": case.name, "outputs": case.outputs, "stacked": case.stacked, "rows": rows}


def prepared(chosen: Iterable[TestModel], folder: Path, evidence: Evidence) -> list[Prepared]:
    """Those that convert; the others are noted."""
    done = []
    for model in chosen:
        note(f"converting {model.name}")
        try:
            one = prepare(model, folder)
        except Refused as refused:
            evidence.missing[model.name] = f"it does not convert: {refused}"
            continue
        enter(one, evidence)
        done.append(one)
    return done


def enter(one: Prepared, evidence: Evidence) -> None:
    """A tally for it, with what is known already."""
    tally = evidence.models.setdefault(one.model, Tally())
    if one.reference is not None:
        tally.add(Form.EXACT, one.reference, "reference")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(chosen: Sequence[str], folder: Path, wanted: Sequence[str]) -> Evidence:
    """All of it: prepare, fetch, run."""
    evidence = Evidence()
    held = folder / "cases"
    held.mkdir(parents=True, exist_ok=True)
    models = prepared((load(name) for name in chosen if name != SELF_TEST), held, evidence)
    if SELF_TEST in chosen:
        for one in prepare_self_test(held):
            enter(one, evidence)
            models.append(one)
    for machine in every(folder, wanted):
        if not isinstance(machine, Machine):
            evidence.missing[machine[0]] = machine[1]
            continue
        cases = [case for one in models if one.small or not machine.emulated for case in one.cases]
        note(f"running {len(cases)} cases: {machine.name}")
        collect(machine, cases, held, evidence)
    return evidence


def show(evidence: Evidence) -> None:
    """As tables."""
    columns = ("model", "float: outputs", "settings", "exact: outputs", "settings", "int8 settings")
    rows = []
    for name, tally in evidence.models.items():
        rows.append([name, *list(_figures(tally).values())[:5]])
    print_table(columns, rows, "no model converts")
    print()
    for name, about in evidence.machines.items():
        features = " ".join(about["features"])
        print(
            f"ran: {name} (numpy {about['numpy']}, Python {about['python']}, {about['machine']}, {features})"
        )
    for what, reason in evidence.missing.items():
        print(f"not run: {what}: {reason}")
    for name, tally in evidence.models.items():
        if tally.distinct(Form.EXACT, Form.INT8) != 1:
            for form in (Form.EXACT, Form.INT8):
                for hashed, settings in tally.hashes[form].items():
                    print(f"differs: {name}.{form} {hashed}: {len(settings)} settings, first {settings[0]}")


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 if every exact form gave one output."""
    parser = argparse.ArgumentParser(prog="python -m tests.exactness.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="test models; all of them by default")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    known = [*names(), *large_names(), SELF_TEST]
    if unknown := set(options.names) - set(known):
        parser.error(f"no test model {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return conclude(measure(options.names or known, FOLDER, tuple(ways())), as_json=options.json)


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
