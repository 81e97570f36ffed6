from pathlib import Path

import pytest

from node.network.fault_plan import PLAN_BYTES_MAX, BadPlan, FaultPlan, LinkFaults, read_plan, write_plan

PLAN = FaultPlan(clock_ms=-10_000, links={"peer": LinkFaults(cut=True), "other": LinkFaults(loss=0.3)})


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan", FaultPlan(clock_ms=1))
    write_plan(tmp_path / "plan", PLAN)
    assert read_plan(tmp_path / "plan") == PLAN
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_without_a_file_nothing_is_wrong(tmp_path: Path) -> None:
    assert read_plan(tmp_path / "plan") == FaultPlan()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"clock": 1}',
        '{"clock_ms": 86400001}',
        '{"links": {"peer": {"cut": 1}}}',
        '{"links": {"peer": {"loss": 0.95}}}',
        '{"links": {"peer": {"delay_ms": -1}}}',
        '{"links": {"peer": {"delay_ms": 60001}}}',
        '{"clock_ms": 0' + " " * PLAN_BYTES_MAX + "}",
    ],
)
def test_what_is_no_plan_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan").write_text(text)
    with pytest.raises(BadPlan, match=str(tmp_path / "plan")):
        read_plan(tmp_path / "plan")
