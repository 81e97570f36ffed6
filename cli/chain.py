"""What commands know of a chain from the node that they ask, fetched when it is first needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cli.accounts import account_of, open_keystore
from cli.amounts import Token
from cli.errors import UserError
from cli.options import DEFAULT_KEYSTORE
from cli.values import Values
from frame.metadata import Metadata
from node.blobs.messages import blob_id, manifest_of
from node.rpc.client import ClientError, Refused, RpcClient
from primitives.ss58 import encode_address
from primitives.types import AccountId


class Chain:
    """One node and the chain it follows; also a context manager that hangs up."""

    def __init__(self, url: str, keystore: Path = DEFAULT_KEYSTORE) -> None:
        """Raises UserError for what is no address of a node."""
        try:
            self._client = RpcClient(url)
        except ValueError as error:
            raise UserError(str(error)) from None
        self.keystore = open_keystore(keystore)

    def ask(self, method: str, *params: Any) -> Any:
        """The node's answer. Raises UserError if there is none, or it says no."""
        with _explained():
            return self._client.call(method, *params)

    def view(self, name: str, **arguments: Any) -> Any:
        """The answer of a view such as `fees.quote`. Raises UserError."""
        return self.ask("state_call", name, arguments)

    def upload(self, data: bytes) -> str:
        """Store a blob on the node; its id. Raises UserError."""
        with _explained():
            return self._client.upload(data)

    def download(self, blob: str) -> bytes:
        """The blob with this id, checked by it. Raises UserError."""
        with _explained():
            return fetch_blob(self._client, blob)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @cached_property
    def metadata(self) -> Metadata:
        """Everything that the runtime declares."""
        return msgspec.convert(self.ask("state_getMetadata"), Metadata)

    @cached_property
    def properties(self) -> dict[str, Any]:
        """Token and address format, from the chain specification."""
        found: dict[str, Any] = self.ask("system_properties")
        return found

    @cached_property
    def version(self) -> dict[str, Any]:
        """Identity of the chain: what a transaction is signed for."""
        found: dict[str, Any] = self.ask("state_getRuntimeVersion")
        return found

    @cached_property
    def token(self) -> Token:
        """The chain's token."""
        return Token(self.properties["tokenSymbol"], self.properties["tokenDecimals"])

    @cached_property
    def values(self) -> Values:
        """Reads and shows this chain's values."""
        return Values(self.token, self.properties["ss58Format"], self.account, lambda: self.metadata)

    def account(self, text: str) -> AccountId:
        """The account of an address or name. Raises UserError."""
        return account_of(text, self.keystore, self.properties["ss58Format"])

    def address(self, account: bytes) -> str:
        """The address of an account on this chain."""
        return encode_address(AccountId(account), self.properties["ss58Format"])

    def block_hash(self, block: str | None) -> str:
        """The hash of the block with a height or hash; None is the newest finalized. Raises UserError."""
        if block is None:
            return str(self.ask("chain_getFinalizedHead"))
        if not block.isdecimal():
            return block
        found = self.ask("chain_getBlockHash", int(block))
        if found is None:
            raise UserError(f"the node has no block {block}", "`consil query block` shows the newest")
        return str(found)


def fetch_blob(client: RpcClient, blob: str) -> bytes:
    """The blob with this id, checked by it. Raises ClientError."""
    data = client.download(blob)
    if not data or f"0x{blob_id(manifest_of(data)).hex()}" != blob:
        raise ClientError(f"{client.url} answered with another blob than {blob}: ask another node")
    return data


@contextmanager
def asking_blobs(url: str) -> Iterator[Callable[[str], bytes]]:
    """What gives a blob of the node at `url`, checked by its id. Raises UserError."""
    with _explained(), RpcClient(url) as client:
        yield lambda blob: fetch_blob(client, blob)


@contextmanager
def _explained() -> Iterator[None]:
    """Tells the user why there is no answer."""
    try:
        yield
    except Refused as error:
        raise UserError(f"the node refused: {error.message}") from None
    except ClientError as error:
        raise UserError(str(error)) from None
