"""The finalized blocks: a chain of parents, each with its body, its outcome and its certificate."""

from typing import Final

from node.check.report import RESYNC, Report
from node.check.rows import decoded, joined_height
from node.db.schema import (
    EPOCH_END,
    HEAD,
    HEAD_KEY,
    SCHEMA_KEY,
    SCHEMA_VERSION,
    Head,
    Table,
    extrinsic_places,
    journal_item,
    journal_row,
    number_key,
    number_of,
)
from node.db.store import Transaction
from node.db.upgrades import UPGRADES
from primitives.block import BODY, HEADER, Block, Header, block_hash, body_root
from primitives.certificate import CERTIFICATE, verify_certificate
from primitives.committee import Committee, committee_root
from primitives.finality import Trusted
from primitives.outcome import BLOCK_OUTCOME, events_root
from primitives.types import BlockHash, EpochIndex
from primitives.vote import VoteKind

_PROGRESS_BLOCKS: Final = 256


def check_meta(snapshot: Transaction, report: Report) -> Head | None:
    """What the database says of itself; None if it does not say where it stands."""
    version = snapshot.get(Table.META, SCHEMA_KEY)
    if version is None:
        report.wrong("database", "it has no schema version", RESYNC)
    elif (number := number_of(version)) != SCHEMA_VERSION:
        advice = "use the release that wrote it, or sync into another directory"
        if number in UPGRADES:
            advice = "the next start of the node upgrades it; check again after that"
        report.wrong("database", f"it has schema version {number}, not {SCHEMA_VERSION}", advice)
        return None
    row = snapshot.get(Table.META, HEAD_KEY)
    head = None if row is None else decoded(HEAD, row)
    if head is None:
        report.wrong("database", "it does not say which block is its newest", RESYNC)
    return head


def check_blocks(snapshot: Transaction, head: Head, genesis: BlockHash, report: Report) -> None:
    """Every block up to `head`, and the tables that lead to them."""
    walk = _Walk(snapshot, report, head)
    for key, row in snapshot.rows_from(Table.BLOCKS, b""):
        walk.block(key, row)
    walk.end(genesis)
    report.facts["blocks"] = (
        f"{walk.blocks} up to height {head.height} in {walk.epochs} epochs, {walk.extrinsics} extrinsics, "
        f"{walk.certificates} certificates"
    )


class _Walk:
    """From the genesis block upwards."""

    def __init__(self, snapshot: Transaction, report: Report, head: Head) -> None:
        self.blocks = self.extrinsics = self.certificates = self.epochs = 0
        self._snapshot = snapshot
        self._report = report
        self._head = head
        self._joined = joined_height(snapshot)
        self._previous: Header | None = None
        self._first: Header | None = None
        self._trusted: Trusted | None = None

    def block(self, key: bytes, row: bytes) -> None:
        """The next row of the table of headers."""
        height = number_of(key)
        self.blocks += 1
        header = decoded(HEADER, row)
        if header is None or header.height != height:
            self._wrong(height, "the header is damaged")
            return
        self._first = self._first or header
        identity = block_hash(header)
        self._check_place(header, identity)
        self._check_body(header)
        self._check_certificate(header, identity)
        self._check_epoch(header, identity)
        self._previous = header
        if height % _PROGRESS_BLOCKS == 0:
            self._report.progress("blocks", height, self._head.height)

    def end(self, genesis: BlockHash) -> None:
        """After the last row: whether the counts of the tables agree, and the chain ends at the head."""
        last, head = self._previous, self._head
        if self._first is not None and self._first.height == 0 and block_hash(self._first) != genesis:
            advice = "give the right --chain, or another --base-path"
            self._report.wrong("blocks", "the genesis block is that of another chain", advice)
        if last is None or (last.height, block_hash(last)) != (head.height, head.block):
            self._wrong(head.height, "the newest block is not the one that the database names")
        elif last.state_root != head.root:
            self._wrong(head.height, "the newest block has another state root than the database names")
        self._check_count(Table.HEIGHTS, self.blocks, "a hash leads to no block")
        self._check_count(Table.EXTRINSICS, self.extrinsics, "an extrinsic is known that is in no block")
        self._check_count(Table.CERTIFICATES, self.certificates, "a certificate is of no block")
        self._check_count(Table.EPOCHS, self.epochs, "an epoch ends in no block")

    def _check_place(self, header: Header, identity: BlockHash) -> None:
        previous = self._previous
        if header.height <= self._joined:
            if header.height and header.next_set is None:
                self._wrong(header.height, "a block of before the node joined is here")
        elif previous is not None and header.height != previous.height + 1:
            self._wrong(previous.height + 1, f"blocks are missing up to {header.height - 1}")
        elif previous is not None and header.parent != block_hash(previous):
            self._wrong(header.height, "the block is no child of the one before it")
        if self._snapshot.get(Table.HEIGHTS, identity) != number_key(header.height):
            self._wrong(header.height, "the hash of the block does not lead to it")

    def _check_body(self, header: Header) -> None:
        if 0 < header.height <= self._joined:
            return
        key = number_key(header.height)
        body = decoded(BODY, self._snapshot.get(Table.BODIES, key))
        if body is None:
            self._wrong(header.height, "the body is missing or damaged")
        else:
            if header.height and body_root(body) != header.body_root:
                self._wrong(header.height, "the body is not the one that the header names")
            places = list(extrinsic_places(Block(header, body)))
            self.extrinsics += len(places)
            if any(self._snapshot.get(Table.EXTRINSICS, name) != place for name, place in places):
                self._wrong(header.height, "an extrinsic of the block is not found by its hash")
        outcome = decoded(BLOCK_OUTCOME, self._snapshot.get(Table.EVENTS, key))
        if outcome is None:
            self._wrong(header.height, "results and events are missing or damaged")
        elif header.height and events_root(outcome) != header.events_root:
            self._wrong(header.height, "results and events are not those that the header names")

    def _check_certificate(self, header: Header, identity: BlockHash) -> None:
        row = self._snapshot.get(Table.CERTIFICATES, number_key(header.height))
        if row is None:
            is_needed = header.height > 0 and (header.height == self._head.height or header.next_set)
            if is_needed:
                self._wrong(header.height, "the block has no certificate")
            return
        self.certificates += 1
        certificate = decoded(CERTIFICATE, row)
        if certificate is None or certificate.kind != VoteKind.FINALIZE or certificate.block != identity:
            self._wrong(header.height, "the certificate is damaged, or of another block")
        elif self._trusted is not None and self._trusted.committee.epoch == header.epoch:
            anchor, committee = self._trusted.anchor, self._trusted.committee
            if not verify_certificate(certificate, committee, anchor):
                self._wrong(header.height, "the certificate is not signed by two thirds of the stake")

    def _check_epoch(self, header: Header, identity: BlockHash) -> None:
        """The last block of an epoch hands over to a committee, and only the last does."""
        trusted = self._trusted
        if trusted is not None and header.epoch != trusted.committee.epoch:
            self._wrong(header.height, f"the block is of epoch {header.epoch}, not {trusted.committee.epoch}")
        if header.next_set is None:
            if trusted is not None and header.height >= trusted.committee.last_height:
                self._wrong(header.height, "the last block of its epoch names no next committee")
            return
        self.epochs += 1
        successor = self._successor(header.epoch)
        self._trusted = None if successor is None else Trusted(identity, successor)
        if successor is None or committee_root(successor) != header.next_set:
            self._wrong(header.height, "the next committee is missing, damaged, or not the one of the header")

    def _successor(self, epoch: EpochIndex) -> Committee | None:
        end = decoded(EPOCH_END, self._snapshot.get(Table.EPOCHS, number_key(epoch)))
        return None if end is None else end.next_committee

    def _check_count(self, table: Table, expected: int, problem: str) -> None:
        if self._snapshot.size(table) > expected:
            self._report.wrong("blocks", f"{problem} (table {table.value.decode()})", RESYNC)

    def _wrong(self, height: int, problem: str) -> None:
        self._report.wrong("blocks", f"block {height}: {problem}", RESYNC)


def check_journal(snapshot: Transaction, report: Report) -> None:
    """Blocks and certificates that wait for their finality."""
    count = 0
    for key, row in snapshot.rows_from(Table.JOURNAL, b""):
        count += 1
        try:
            is_right = journal_row(journal_item(key, row)) == (key, row)
        except ValueError:
            is_right = False
        if not is_right:
            report.wrong("unfinalized", f"row {count} is damaged", RESYNC)
    report.facts["unfinalized"] = f"{count} blocks and certificates wait for finality"
