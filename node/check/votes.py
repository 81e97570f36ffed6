"""The vote journals: whether a session key may sign, and why not, in words."""

from pathlib import Path
from typing import Final

from node.check.report import Report
from node.consensus.journal import Inspection, JournalError, inspect_journal
from node.consensus.stop import explain
from node.identity import SESSION_KEY, journal_path
from node.keystore.store import Keystore, KeystoreError
from primitives.signing import SigningKey
from primitives.types import PublicKey

ROTATE: Final = "rotate the session key; never copy or restore a vote journal"


def check_votes(keystore_directory: Path, report: Report) -> None:
    """Every session key with its journal, and every journal that is there."""
    paths = set(keystore_directory.glob("*.votes"))
    paths |= {journal_path(keystore_directory, key) for key in _session_keys(keystore_directory)}
    for path in sorted(paths):
        part = f"votes {path.stem}"
        try:
            found = inspect_journal(path)
        except JournalError as error:
            report.wrong(part, str(error), ROTATE)
            continue
        report.facts[part] = _described(found)
        if journal_path(keystore_directory, found.key) != path:
            report.wrong(part, f"the journal is of another key, {found.key.hex()}", ROTATE)
        if found.stop is not None:
            report.wrong(part, f"the key signs nothing more: {explain(found.stop)}", ROTATE)


def _session_keys(keystore_directory: Path) -> list[PublicKey]:
    """Public keys of the session keys that can be read."""
    keystore = Keystore(keystore_directory)
    keys = []
    for name in keystore.names():
        if name.startswith(SESSION_KEY):
            try:
                keys.append(SigningKey(keystore.seed_of(name)).public_key)
            except KeystoreError:
                continue  # the keystore's own check names it
    return keys


def _described(found: Inspection) -> str:
    since = "ever since it was made" if found.complete_from == 0 else f"from epoch {found.complete_from} on"
    last = found.last_vote
    newest = "none yet" if last is None else f"{last.kind.name} in epoch {last.epoch}, view {last.view}"
    return (
        f"knows all that key 0x{found.key.hex()} signed, {since}: {found.votes} votes and "
        f"{found.certificates} certificates, the newest vote {newest}"
    )
