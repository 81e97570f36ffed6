"""Chain specifications as commands name them: a preset or a file."""

from pathlib import Path

from chainspec.presets import PRESETS
from chainspec.spec import SPEC_BYTES_MAX, ChainSpec, SpecError, parse_spec
from chainspec.state_file import state_path_of
from cli.errors import UserError


def state_file_of(chain: str) -> Path | None:
    """Where the genesis state of a specification in a file is, if that has but its root."""
    return None if chain in PRESETS else state_path_of(Path(chain).expanduser())


def load_spec(chain: str) -> ChainSpec:
    """The specification of a preset, or in a file. Raises UserError."""
    if chain in PRESETS:
        return PRESETS[chain]()
    path = Path(chain).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(SPEC_BYTES_MAX + 1)
    except OSError as error:
        known = ", ".join(PRESETS)
        raise UserError(
            f"cannot read {path} ({error.strerror})", f"give a file, or a preset: {known}"
        ) from None
    try:
        return parse_spec(data)
    except SpecError as error:
        raise UserError(
            f"{path}: {error}", "correct it, or get the file again from who runs the chain"
        ) from None
