"""The answers of earlier runs, so that one that was interrupted goes on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

Lines = Sequence[Mapping[str, Any]]


class Journal:
    """One line for each case on each machine, appended when the case is done."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        self._path = path
        self._lock = Lock()
        self._known: dict[str, Lines] = {}
        if not keep or not path.exists():
            path.write_text("")
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the run ended while it wrote this
                continue
            self._known[entry["key"]] = entry["lines"]

    def get(self, key: str) -> Lines | None:
        """What was said of the case, if it was run."""
        return self._known.get(key)

    def put(self, key: str, lines: Lines) -> None:
        """Keep what was said; from any thread."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"key": key, "lines": lines}) + "\n")
