"""Transfers in the background, sent to whichever node of a local network takes them."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.submission import Prepared, prepare, submit
from primitives.types import Balance

RECEIVER: Final = "//Ferdie"
AMOUNT: Final = "0.01"


class Load:
    """A thread that sends transfers at a pace, until it is stopped."""

    def __init__(self, per_second: float, senders: Callable[[], Mapping[str, str]]) -> None:
        """Starts at once. `senders`: the account of each node that answers now, and where; they take turns.

        An account is one node's alone: two nodes that do not hear each other would give it the same nonce.
        """
        self._pause_s = 1 / per_second
        self._senders = senders
        self._stopped = threading.Event()
        self.sent: list[str] = []
        """Hashes of the transfers that a node took."""

        self.refused = 0
        """Transfers that no node took, or of whose node no answer came."""

        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; waits for the one that is being sent."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._stopped.wait(self._pause_s):
            senders = list(self._senders().items())
            if not senders:
                continue
            turn += 1
            try:
                self.sent.append(_transfer(*senders[turn % len(senders)]).hash)
            except UserError:
                self.refused += 1


def _transfer(sender: str, url: str) -> Prepared:
    """Send one. Raises UserError."""
    with Chain(url) as chain:
        call = chain.values.call("balances.transfer", {"destination": RECEIVER, "amount": AMOUNT})
        prepared = prepare(chain, signing_key(sender, chain.keystore), call, Balance(0))
        submit(chain, prepared)
        return prepared
