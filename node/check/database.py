"""The whole database of a stopped node."""

from pathlib import Path
from typing import Final

from node.check.blocks import check_blocks, check_journal, check_meta
from node.check.holds import check_holds, check_joined
from node.check.report import RESYNC, Report
from node.check.state import check_checkpoint, check_state, check_undo
from node.db.database import CHECKPOINT_FILE
from node.db.errors import DatabaseCorrupt, DatabaseError
from node.db.store import Store
from primitives.types import BlockHash

_FREE_IT: Final = "stop the node, or set right what is in the way, and check again"


def check_database(path: Path, genesis: BlockHash, report: Report) -> None:
    """Read all of it and believe none of it; `genesis`: of the chain that it should hold.

    A damaged page that LMDB itself trips over can end the process; nothing is written at all.
    """
    if not path.exists():
        report.facts["database"] = "none: the node has not been started yet"
        return
    try:
        store = Store(path)
    except DatabaseError as error:
        report.wrong("database", str(error), _advice(error))
        return
    try:
        with store.read() as snapshot:
            head = check_meta(snapshot, report)
            if head is None:
                return
            report.facts["database"] = f"{path}: newest block {head.height}, 0x{head.block.hex()}"
            check_blocks(snapshot, head, genesis, report)
            check_journal(snapshot, report)
            tree = check_state(snapshot, head, report)
            check_undo(snapshot, head, tree, report)
            check_joined(snapshot, head, report)
            check_holds(snapshot, head, tree, report)
        check_checkpoint(path / CHECKPOINT_FILE, head, tree, report)
    except DatabaseError as error:
        report.wrong("database", str(error), _advice(error))
    finally:
        store.close()


def _advice(error: DatabaseError) -> str:
    return RESYNC if isinstance(error, DatabaseCorrupt) else _FREE_IT
