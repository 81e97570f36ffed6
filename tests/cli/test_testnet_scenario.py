"""Scenarios: what a file says, and that every mistake in it is named with its place."""

from pathlib import Path

import pytest

from cli.testnet_scenario import (
    Delay,
    Partition,
    Pause,
    Scenario,
    ScenarioError,
    Wait,
    load_scenario,
    parse_scenario,
)

WHOLE = """
about = "Shows something"
timeout_s = 30
[network]
validators = 2
nodes = 1
[network.programs]
"validator-2" = "tests.chaos.byzantine.silent"
[expect]
double_voters = ["validator-2"]
[[steps]]
do = "pause"
nodes = ["$leader"]
[[steps]]
do = "delay"
ms = 5
from = "validator-1"
to = "node-1"
[[steps]]
do = "for-each"
nodes = ["validator-1", "node-1"]
[[steps.steps]]
do = "partition"
groups = [["$node"]]
[[steps.steps]]
do = "wait"
blocks = 2
"""


def refusal(text: str) -> str:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(text, "test")
    return str(error.value)


def test_a_scenario_is_read_and_what_is_repeated_is_written_out() -> None:
    found = parse_scenario(WHOLE, "test")
    assert found == Scenario(
        name="test",
        about="Shows something",
        timeout_s=30,
        network=found.network,
        expect=found.expect,
        steps=(
            Pause(nodes=("$leader",)),
            Delay(ms=5, source="validator-1", target="node-1"),
            Partition(groups=(("validator-1",),)),
            Wait(blocks=2),
            Partition(groups=(("node-1",),)),
            Wait(blocks=2),
        ),
    )
    assert found.network.names == ("validator-1", "validator-2", "node-1")
    assert found.network.programs == {"validator-2": "tests.chaos.byzantine.silent"}
    assert found.expect.double_voters == ("validator-2",)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('do = "pause"', 'do = "pauze"', "steps[0].do: Invalid value 'pauze'"),
        ("ms = 5", "ms = -5", "steps[1].ms: Expected `int` >= 0"),
        ("ms = 5", "ms = 5\nmss = 5", "steps[1]: Object contains unknown field `mss`"),
        ('to = "node-1"', "", "steps[1]: a delay is from one node to another"),
        ('to = "node-1"', 'to = "node-2"', "steps[1]: no node 'node-2': there are validator-1"),
        ("blocks = 2", "", "steps[2].steps[1]: wait for a height or for a number of blocks"),
        ("blocks = 2", "blocks = 2\nheight = 2", "steps[2].steps[1]: wait for a height or"),
        ('["validator-1", "node-1"]', '["validator-1", "x"]', "steps[2].steps[0]: no node 'x'"),
        ('"$leader"', '"$node"', "steps[0]: no node '$node'"),
        ('"validator-2" =', '"validator-3" =', "network.programs: no node 'validator-3'"),
        ('voters = ["validator-2"]', 'voters = ["node-9"]', "expect.double_voters: no node 'node-9'"),
        ("validators = 2", "validators = 17", "network.validators: Expected `int` <= 16"),
        ('about = "Shows something"', "", "the file: Object missing required field `about`"),
        ("[network]", "[network", "no TOML: "),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, line: str) -> None:
    assert refusal(WHOLE.replace(old, new)).startswith(line)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read .*/none\.toml: No such file"):
        load_scenario(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ScenarioError, match="is no text"):
        load_scenario(tmp_path / "bytes.toml")
    (tmp_path / "long.toml").write_text("#" * 300_000)
    with pytest.raises(ScenarioError, match="more than"):
        load_scenario(tmp_path / "long.toml")
    (tmp_path / "bad.toml").write_text(WHOLE.replace("pause", "pauze"))
    with pytest.raises(ScenarioError, match=r"bad\.toml: steps\[0\]"):
        load_scenario(tmp_path / "bad.toml")
