"""Whether the files of the models that blocks run are here: without one no such block can be executed."""

from itertools import takewhile
from pathlib import Path
from typing import Final

from node.blobs.store import is_intact
from node.check.files import BLOB_FOLDERS
from node.check.report import Report
from node.check.rows import decoded
from node.db.errors import DatabaseError
from node.db.schema import Table, row_value
from node.db.store import Store, Transaction
from pallets.instant import Instant
from pallets.instant.types import Deployed
from primitives.codec import Codec
from primitives.state_proof import state_path
from primitives.types import Hash

_DEPLOYED: Final = Codec[Deployed](Deployed)


def check_models(database: Path, blobs: Path, report: Report) -> None:
    """Compare the state in a database with the files in a blob store; others say what else is wrong there."""
    if not database.exists():
        return
    try:
        store = Store(database)
    except DatabaseError:
        return
    try:
        with store.read() as snapshot:
            deployed = _deployed(snapshot)
    except DatabaseError:
        return
    finally:
        store.close()
    for model, blob in deployed:
        found = [path for folder in BLOB_FOLDERS if (path := blobs / folder / blob.hex()).exists()]
        if found and _is_whole(found[0]):
            continue
        problem = f"the file {blob.hex()[:16]} of model 0x{model.hex()[:16]}, which blocks run, is " + (
            "damaged" if found else "missing"
        )
        place = blobs / BLOB_FOLDERS[0] / blob.hex()
        advice = f"start the node, which asks its peers for it, or copy it from another node to {place}"
        report.wrong("models", problem, advice)
    report.facts["models"] = f"blocks run {len(deployed)} models"


def _deployed(snapshot: Transaction) -> list[tuple[bytes, Hash]]:
    """Model and file of every entry that can be read."""
    prefix = Instant.models.prefix
    keys = (key for key, _ in snapshot.rows_from(Table.KEYS, prefix))
    found = []
    for key in takewhile(lambda key: key.startswith(prefix), keys):
        row = snapshot.get(Table.STATE, state_path(key))
        one = None if row is None else decoded(_DEPLOYED, row_value(row))
        if one is not None:
            found.append((key[-32:], one.blob))
    return found


def _is_whole(path: Path) -> bool:
    try:
        return is_intact(path)
    except OSError:
        return False
