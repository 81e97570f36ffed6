"""Which engines there are, and where a server is; imports no library, for whoever only names one."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class EngineKind(StrEnum):
    """What runs a validator's models."""

    AUTO = "auto"
    """For each model whichever of the next two a trial finds faster."""
    ONNXRUNTIME = "onnxruntime"
    """onnxruntime in float32."""
    INT8 = "int8"
    """onnxruntime on the model's int8 twin, if it has one."""
    NUMPY = "numpy"
    """The reference engine: slow."""
    REMOTE = "remote"
    """A model server."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model server answers."""

    host: str
    port: int
    path: str
    """Before /v2; empty, or with a slash in front."""
    is_secure: bool


def address_of(url: str) -> Address:
    """Raises ValueError unless `url` is one of http or https, with a host and without a query."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of a model server: write http://HOST:PORT")
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    return Address(parts.hostname, port, parts.path.rstrip("/"), is_secure)
