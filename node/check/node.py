"""Everything that a stopped node keeps, in one report."""

from pathlib import Path

from chainspec.genesis import genesis_block
from chainspec.spec import ChainSpec
from node.check.database import check_database
from node.check.files import check_blobs, check_evidence, check_keystore, check_peers, check_words
from node.check.models import check_models
from node.check.report import Report
from node.check.votes import check_votes
from node.node import (
    ATTESTATION_DIRECTORY,
    BLOBS_DIRECTORY,
    DATABASE_DIRECTORY,
    EVIDENCE_DIRECTORY,
    KEYSTORE_DIRECTORY,
    PEERSTORE,
)
from primitives.block import block_hash


def check_node(directory: Path, spec: ChainSpec, report: Report) -> None:
    """Look at the `directory` of a node on the chain of `spec`; the longest part is the database."""
    check_keystore(directory / KEYSTORE_DIRECTORY, report)
    check_votes(directory / KEYSTORE_DIRECTORY, report)
    check_words(directory / ATTESTATION_DIRECTORY, report)
    check_blobs(directory / BLOBS_DIRECTORY, report)
    check_evidence(directory / EVIDENCE_DIRECTORY, report)
    check_peers(directory / PEERSTORE, report)
    check_database(directory / DATABASE_DIRECTORY, block_hash(genesis_block(spec).header), report)
    check_models(directory / DATABASE_DIRECTORY, directory / BLOBS_DIRECTORY, report)
