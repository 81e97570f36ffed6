"""What a run saw: the distinct outputs of every model, and what other libraries make of the same files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from cli.output import print_table
from tests.exactness.cases import SELF_TEST, Case, Form, Prepared
from tests.exactness.machines import Machine

REFERENCE: Final = "reference"
"""The setting of what numpy or integers give."""


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

    @property
    def exact(self) -> bool:
        """The exact form and its twin gave one output, and gave it."""
        return self.distinct(Form.EXACT, Form.INT8) == 1 and self.settings(Form.EXACT) > 0

    def figures(self) -> dict[str, int]:
        return {
            "float_outputs": self.distinct(Form.FLOAT),
            "float_settings": self.settings(Form.FLOAT),
            "exact_outputs": self.distinct(Form.EXACT, Form.INT8),
            "exact_settings": self.settings(Form.EXACT),
            "int8_settings": self.settings(Form.INT8),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What another library makes of the exact forms and of the self-test."""

    same: tuple[str, ...] = ()
    """Models that give everywhere what onnxruntime gives."""
    other: tuple[str, ...] = ()
    """Models that do not."""
    failed: tuple[str, ...] = ()
    """Vectors of the self-test with a wrong answer: with one of these, no validator may use the library."""
    unable: tuple[str, ...] = ()
    """Models and vectors that it cannot load or run."""


@dataclass(slots=True)
class Evidence:
    """The result of a run."""

    models: dict[str, Tally] = field(default_factory=dict)
    beside: dict[str, dict[str, Tally]] = field(default_factory=dict)
    """The same for each library other than onnxruntime."""
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """What was not run, and why."""
    lock: Lock = field(default_factory=Lock)

    def enter(self, one: Prepared) -> None:
        """A tally for it, with what is known already."""
        tally = self.models.setdefault(one.model, Tally())
        if one.reference is not None:
            tally.add(Form.EXACT, one.reference, REFERENCE)

    def add(self, machine: Machine, case: Case, line: Mapping[str, str]) -> None:
        """One hash."""
        held = self.beside.setdefault(machine.name, {}) if machine.foreign else self.models
        tally = held.setdefault(case.model, Tally())
        tally.add(case.form, line["hash"], f"{machine.name}, {line['setting']}")

    @property
    def exact(self) -> bool:
        """Every exact form gave one output: that of its twin, and of libraries that pass the self-test."""
        unlike = any(seen.other for seen in map(self.outlook, self.beside) if not seen.failed)
        return bool(self.models) and all(tally.exact for tally in self.models.values()) and not unlike

    def outlook(self, library: str) -> Outlook:
        """What another library gave, by what onnxruntime gave."""
        found: dict[str, list[str]] = {"same": [], "other": [], "failed": [], "unable": []}
        for name, tally in self.models.items():
            given = self.beside[library].get(name, Tally()).hashes[Form.EXACT]
            vector = name.startswith(SELF_TEST)
            if not given:
                found["unable"].append(name)
            elif set(given) != set(tally.hashes[Form.EXACT]):
                found["failed" if vector else "other"].append(name)
            elif not vector:
                found["same"].append(name)
        return Outlook(**{key: tuple(names) for key, names in found.items()})

    def document(self) -> dict[str, Any]:
        return {
            "exact": self.exact,
            "models": {
                name: tally.figures() | {"hashes": {form.value: tally.hashes[form] for form in Form}}
                for name, tally in self.models.items()
            },
            "libraries": {
                name: {
                    "same": seen.same,
                    "other": seen.other,
                    "self_test_failed": seen.failed,
                    "unable": seen.unable,
                }
                for name, seen in ((name, self.outlook(name)) for name in self.beside)
            },
            "machines": self.machines,
            "not_run": self.missing,
        }


def show(evidence: Evidence) -> None:
    """As tables."""
    columns = ("model", "float: outputs", "settings", "exact: outputs", "settings", "int8 settings")
    vectors = {name: each for name, each in evidence.models.items() if name.startswith(SELF_TEST)}
    rows = [[name, *each.figures().values()] for name, each in evidence.models.items() if name not in vectors]
    if vectors:
        rows.append([f"{len(vectors)} vectors of the self-test", *_worst(vectors)])
    print_table(columns, rows, "no model converts")
    for name in evidence.beside:
        _show_library(name, evidence.outlook(name))
    print()
    for name, about in evidence.machines.items():
        held = f"numpy {about['numpy']}, Python {about['python']}, {about['machine']}"
        print(f"ran: {name} ({held}, {' '.join(about['features'])})")
    for where, reason in evidence.missing.items():
        print(f"not run: {where}: {reason}")
    for name, tally in evidence.models.items():
        for form in (Form.EXACT, Form.INT8) if not tally.exact else ():
            for hashed, settings in tally.hashes[form].items():
                print(f"differs: {name}.{form} {hashed}: {len(settings)} settings, first {settings[0]}")


def _show_library(name: str, seen: Outlook) -> None:
    print(f"\n{name}: the same output for {len(seen.same)} models")
    for what, names in (
        ("another output", seen.other),
        ("wrong in the self-test, so no validator may use it", seen.failed),
        ("cannot load or run", seen.unable),
    ):
        if names:
            print(f"  {what}: {', '.join(names)}")


def _worst(vectors: Mapping[str, Tally]) -> list[int]:
    """The most outputs of any, and the settings of all."""
    figures = [each.figures() for each in vectors.values()]
    return [(max if key.endswith("outputs") else sum)(each[key] for each in figures) for key in figures[0]]
