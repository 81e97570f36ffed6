"""`consil node check`: whether what a stopped node keeps is whole."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import UserError
from cli.options import Json, examples
from cli.output import print_fields, print_json, print_table, progress
from cli.specs import load_spec

EPILOG = examples(
    "consil node check --chain chain.json --base-path /var/lib/consil",
    "consil node check --json                   for a script: exit code 1 if anything is wrong",
)


def check(
    chain: Annotated[str, typer.Option(help="dev, local, or the file of a chain specification.")] = "local",
    base_path: Annotated[Path, typer.Option(metavar="DIR", help="Of the node; it must not run.")] = Path(
        "~/.consilience"
    ),
    as_json: Json = False,
) -> None:
    """Read everything that a stopped node keeps, and say what is wrong with it and what to do.

    Every block, certificate, entry of the state, key and blob is verified; nothing is changed.
    """
    from node.check.node import check_node
    from node.check.report import Report

    spec = load_spec(chain)
    directory = base_path.expanduser().absolute() / "chains" / spec.id
    if not directory.is_dir():
        raise UserError(f"there is no node in {directory}", "give its --chain and --base-path")
    with progress(f"checking {directory}", silent=as_json) as shown:
        report = Report(lambda part, done, total: shown.note(f"{part}: {done} of {total}"))
        check_node(directory, spec, report)
    if as_json:
        print_json(_document(directory, report))
    else:
        print_fields(report.facts)
        rows = [(found.part, found.problem, found.advice) for found in report.findings]
        rows += [(part, f"and {count} more", "") for part, count in sorted(report.omitted.items())]
        print_table(("part", "what is wrong", "what to do"), rows, "nothing is wrong")
    if not report.is_clean:
        raise typer.Exit(1)


def _document(directory: Path, report: Any) -> dict[str, Any]:
    found = [{"part": each.part, "problem": each.problem, "advice": each.advice} for each in report.findings]
    return {
        "directory": str(directory),
        "ok": report.is_clean,
        "facts": report.facts,
        "findings": found,
        "omitted": dict(report.omitted),
    }
