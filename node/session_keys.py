"""The session keys of one validator: at most one votes in an epoch, and another may follow it in the next.

A key is made together with its vote journal, and stays as long as its file: the committee of an epoch says
which of them votes. A key whose journal is lost is left out.
"""

import logging
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from node.consensus.interface import Stop
from node.consensus.journal import Journal, LostJournal, Signer
from node.consensus.stop import explain, is_of_one_key, outranks
from node.identity import SESSION_KEY, begin_journal, journal_path, session_seed
from node.keystore.store import Keystore, KeystoreError
from primitives.committee import Committee
from primitives.signing import SigningKey
from primitives.types import PublicKey, Seed

KEYS_MAX: Final = 16
"""Session keys of one node: each holds a lock and a journal."""

_log = logging.getLogger(__name__)


class SessionKeys:
    """Implements node.consensus.engine.Signers."""

    def __init__(self, directory: Path, known: Seed | None, *, are_journaled: bool) -> None:
        """Those in the keystore in `directory`, where one is made if there is none, and the well-known one.

        `are_journaled`: the chain is one on which they vote. Raises KeystoreError, JournalError.
        """
        self._directory = directory
        self._are_journaled = are_journaled
        self._opened = ExitStack()
        self._journals: dict[PublicKey, Journal] = {}
        self._keys: dict[PublicKey, SigningKey] = {}
        self._seeds: dict[PublicKey, Seed] = {}
        store = Keystore(directory)
        if known is None:
            session_seed(directory)
        names = [name for name in store.names() if name.partition("-")[0] == SESSION_KEY]
        try:
            for seed in [*([known] if known else []), *map(store.seed_of, names)]:
                self._open(seed)
        except BaseException:
            self.close()
            raise

    @property
    def seeds(self) -> Mapping[PublicKey, Seed]:
        """The usable keys; grows when one is made."""
        return self._seeds

    def key_for(self, committee: Committee) -> SigningKey | None:
        """The key that has a vote in an epoch, if there is one."""
        return next((self._keys[each.key] for each in committee.members if each.key in self._keys), None)

    def acting(self, committee: Committee) -> Signer | None:
        """The key that votes in an epoch, with its journal."""
        key = self.key_for(committee)
        return None if key is None else Signer(key, self._journals[key.public_key])

    def newest(self) -> SigningKey | None:
        """What vouches for a node that has no vote now; None if every key has lost its journal."""
        return next(reversed(self._keys.values()), None)

    def rotate(self) -> SigningKey:
        """Make another key with its journal; blocks on the disk. Raises KeystoreError, JournalError."""
        if len(self._seeds) >= KEYS_MAX:
            raise KeystoreError(
                f"there are {KEYS_MAX} session keys in {self._directory}: stop the node and remove the files "
                "of those that are registered nowhere"
            )
        seed = Seed(secrets.token_bytes(32))
        key = SigningKey(seed)
        begin_journal(self._directory, key.public_key)
        Keystore(self._directory).add(f"{SESSION_KEY}-{key.public_key.hex()[:16]}", seed)
        self._open(seed)
        return key

    def stop(self, stop: Stop, signer: Signer | None) -> None:
        """As in Signers. Who votes elsewhere is `signer` alone; otherwise this node's word is in doubt."""
        if is_of_one_key(stop.reason):
            journals = [] if signer is None else [signer.journal]
        else:
            journals = list(self._journals.values())
        for journal in journals:
            if outranks(stop, journal.stop):
                journal.append([stop])

    def close(self) -> None:
        """Release the journals."""
        self._opened.close()

    def _open(self, seed: Seed) -> None:
        """Raises JournalError."""
        signing = SigningKey(seed)
        key = signing.public_key
        if self._are_journaled:
            try:
                journal = Journal(journal_path(self._directory, key), key)
            except LostJournal as error:
                _log.critical("%s; this node signs nothing with this key, and follows", error)
                return
            self._opened.callback(journal.close)
            self._journals[key] = journal
            if journal.stop is not None:
                _log.critical("session key 0x%s signs nothing: %s", key.hex(), explain(journal.stop))
        self._keys[key], self._seeds[key] = signing, seed


def begin_known_key(directory: Path, seed: Seed, *, is_new: bool) -> None:
    """Begin the vote journal of a well-known key if nothing else of its chain is here (`is_new`).

    Only then is it known that the key has signed nothing. Raises KeystoreError.
    """
    if is_new:
        begin_journal(directory, SigningKey(seed).public_key)
