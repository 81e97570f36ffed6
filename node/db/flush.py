"""Writing finalized blocks into the tables, inside a transaction of the caller.

What is written was decoded or hashed before, so that the checks of a codec would only be repeated here.
"""

from collections.abc import Sequence

from node.db import holds
from node.db.overlay import Change
from node.db.schema import (
    EPOCH_END,
    HEAD,
    HEAD_KEY,
    EpochEnd,
    Finalized,
    Head,
    Table,
    extrinsic_places,
    number_key,
    row_value,
    state_row,
)
from node.db.store import Transaction
from primitives.block import HEADER, Header, block_hash
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import spell
from primitives.committee import Committee
from primitives.types import EpochIndex, View


def write_block(transaction: Transaction, finalized: Finalized, changes: Sequence[Change]) -> Head:
    """Everything that one block leaves behind but its certificate; returns the new head."""
    header = finalized.block.header
    if header.height == 0:
        write_first_state(transaction, changes)
    else:
        transaction.put(Table.UNDO, number_key(header.height), write_state(transaction, changes))
    write_history(transaction, finalized)
    return write_head(transaction, header)


def write_history(transaction: Transaction, finalized: Finalized) -> None:
    """A block and what it did, but for the state."""
    header = finalized.block.header
    row = number_key(header.height)
    write_header(transaction, header, finalized.next_committee)
    transaction.put(Table.BODIES, row, spell(finalized.block.body))
    transaction.put(Table.EVENTS, row, spell(finalized.outcome))
    transaction.cursor(Table.EXTRINSICS).putmulti(extrinsic_places(finalized.block))


def write_header(transaction: Transaction, header: Header, following: Committee | None) -> None:
    """A header, and the committee that an epoch's last one hands over to."""
    row = number_key(header.height)
    transaction.put(Table.BLOCKS, row, HEADER.encode(header))
    transaction.put(Table.HEIGHTS, block_hash(header), row)
    if following is not None:
        end = EpochEnd(header.height, following)
        transaction.put(Table.EPOCHS, number_key(header.epoch), EPOCH_END.encode(end))


def write_head(transaction: Transaction, header: Header) -> Head:
    """Say that the state is the one after this block."""
    head = Head(header.height, block_hash(header), header.state_root)
    transaction.put(Table.META, HEAD_KEY, HEAD.encode(head))
    return head


def write_first_state(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Write the state of block 0, ascending by path, into empty tables; it cannot be undone."""
    present = [change for change in changes if change.value is not None]
    rows = ((change.path, state_row(change.key, change.value or b"")) for change in present)
    transaction.cursor(Table.STATE).putmulti(rows, append=True)
    keys = sorted(change.key for change in present)
    transaction.cursor(Table.KEYS).putmulti(((key, b"") for key in keys), append=True)


def write_state(transaction: Transaction, changes: Sequence[Change]) -> bytes:
    """Write `changes`, ascending by path; returns the row that undoes them."""
    state = transaction.cursor(Table.STATE)
    old = dict(state.getmulti([change.path for change in changes]))
    holds.copy(transaction, changes, old)
    kept = [change for change in changes if change.value is not None]
    state.putmulti((change.path, state_row(change.key, change.value or b"")) for change in kept)
    fresh = sorted(change.key for change in kept if change.path not in old)
    transaction.cursor(Table.KEYS).putmulti((key, b"") for key in fresh)
    for change in changes:
        if change.value is None:
            transaction.delete(Table.STATE, change.path)
            transaction.delete(Table.KEYS, change.key)
    before = ((change.key, old.get(change.path)) for change in changes)
    undo = ((key, None if row is None else row_value(row)) for key, row in before)
    return spell(sorted(undo))


def write_certificate(transaction: Transaction, height: int, certificate: Certificate) -> None:
    """The certificate of the block at `height`."""
    transaction.put(Table.CERTIFICATES, number_key(height), CERTIFICATE.encode(certificate))


def clear_journal(transaction: Transaction, epoch: EpochIndex, view: View) -> None:
    """Remove what consensus no longer needs once a block of this view is final."""
    last = number_key(epoch) + number_key(view)
    cursor = transaction.cursor(Table.JOURNAL)
    found = cursor.first()
    while found and cursor.key()[: len(last)] <= last:
        cursor.delete()
        found = bool(cursor.key())


def prune_undo(transaction: Transaction, below: int) -> None:
    """Remove the undo rows of heights less than `below`."""
    cursor = transaction.cursor(Table.UNDO)
    found = cursor.first()
    while found and cursor.key() < number_key(max(below, 0)):
        cursor.delete()
        found = bool(cursor.key())
