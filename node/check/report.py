"""What a check found, in the order in which it looked."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

RESYNC: Final = "restore the database from a copy, or remove it and sync again; keep the keystore"
"""The blocks of a chain are everywhere; only keys and vote journals are a node's own."""

FINDINGS_PER_PART: Final = 10
"""More of one part say nothing new; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong."""

    part: str
    """What was looked at, such as `blocks`."""

    problem: str
    advice: str
    """What to do about it."""


@dataclass(slots=True)
class Report:
    """What is known so far; `progress` hears (part, done, of how many)."""

    progress: Callable[[str, int, int], None] = lambda part, done, total: None
    facts: dict[str, str] = field(default_factory=dict)
    """Part to what is there, in words."""

    findings: list[Finding] = field(default_factory=list)
    omitted: Counter[str] = field(default_factory=Counter)
    """Part to findings beyond FINDINGS_PER_PART."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def wrong(self, part: str, problem: str, advice: str) -> None:
        """Note a finding."""
        if sum(finding.part == part for finding in self.findings) < FINDINGS_PER_PART:
            self.findings.append(Finding(part=part, problem=problem, advice=advice))
        else:
            self.omitted[part] += 1
