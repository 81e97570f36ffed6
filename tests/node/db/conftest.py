from collections.abc import Iterator
from pathlib import Path

import pytest

from node.db.database import Database
from tests.node.db.chain import opened


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A chain of three entries and no block but the first."""
    database = opened(tmp_path / "chain")
    yield database
    database.close()
