"""The sealing keys of a node: one at first, another when asked, and all of them open."""

from pathlib import Path

import pytest

from node.keystore.store import KeystoreError
from node.sealing.box import Fixed, open_input, seal_input
from node.sealing.keys import SealingKeys
from primitives.sealing import panel_digest
from primitives.types import Hash

PURPOSE = Hash(b"\x70" * 32)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = SealingKeys(tmp_path).newest
    assert SealingKeys(tmp_path).newest == made
    assert [path.stat().st_mode & 0o077 for path in tmp_path.iterdir()] == [0]


def test_what_was_sealed_before_a_rotation_still_opens(tmp_path: Path) -> None:
    keys = SealingKeys(tmp_path)
    sealed, panel = seal_input(b"x", PURPOSE, [keys.newest]), panel_digest([keys.newest])
    rotated = [keys.rotate() for _ in range(11)]
    again = SealingKeys(tmp_path)
    assert again.newest == rotated[-1]
    assert open_input(sealed.data, Fixed(PURPOSE, sealed.commitment, panel), again.secrets).plaintext == b"x"


def test_a_damaged_key_is_said(tmp_path: Path) -> None:
    SealingKeys(tmp_path)
    [path] = tmp_path.iterdir()
    path.write_text("nonsense")
    with pytest.raises(KeystoreError, match="damaged"):
        SealingKeys(tmp_path)
