"""From the tables of an older release to those of this one, at the first opening; there is no way back.

An upgrade is one transaction that also writes the new version: after a crash it is done, or it has not begun
and is run again.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from node.db.errors import DatabaseCorrupt, OtherSchema
from node.db.schema import SCHEMA_KEY, SCHEMA_VERSION, Table, journal_item, journal_row, number_of
from node.db.store import Store, Transaction

_log = logging.getLogger(__name__)


def ensure_schema(store: Store) -> bool:
    """Bring the tables to SCHEMA_VERSION; False if there are none yet.

    Raises OtherSchema for those of a newer release, or one too old, and DatabaseCorrupt.
    """
    with store.read() as snapshot:
        row, is_new = snapshot.get(Table.META, SCHEMA_KEY), snapshot.size(Table.META) == 0
    if row is None:
        if not is_new:
            raise DatabaseCorrupt(f"{store.path} does not say which schema it has; sync again")
        return False
    for version in range(number_of(row), SCHEMA_VERSION):
        if version not in UPGRADES:
            break
        _log.info("upgrading the database in %s from schema %d to %d", store.path, version, version + 1)
        store.write(lambda transaction, version=version: _upgrade(transaction, version))  # type: ignore[misc]
    with store.read() as snapshot:
        found = number_of(snapshot.get(Table.META, SCHEMA_KEY) or b"")
    if found != SCHEMA_VERSION:
        raise OtherSchema(
            f"{store.path} has schema version {found}, this release reads {SCHEMA_VERSION}; "
            "use the release that wrote it, or sync into another directory"
        )
    return True


def _upgrade(transaction: Transaction, version: int) -> None:
    UPGRADES[version](transaction)
    transaction.put(Table.META, SCHEMA_KEY, (version + 1).to_bytes(4, "big"))


def _name_unfinalized_blocks(transaction: Transaction) -> None:
    """Keys of unfinalized blocks end with the hash of the block, and no more with that of the row."""
    rows = list(transaction.rows_from(Table.JOURNAL, b""))
    transaction.clear(Table.JOURNAL)
    for key, row in rows:
        try:
            item = journal_item(key, row)
        except ValueError as error:
            raise DatabaseCorrupt(f"the journal is damaged ({error}); sync again") from error
        transaction.put(Table.JOURNAL, *journal_row(item))


UPGRADES: Final[Mapping[int, Callable[[Transaction], None]]] = {1: _name_unfinalized_blocks}
"""By the version that they begin with. New tables are made by `Store`, and fill as blocks come."""
