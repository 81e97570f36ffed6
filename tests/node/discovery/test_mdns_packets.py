import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.discovery.mdns_packets import (
    PACKET_BYTES_MAX,
    SERVICE,
    Announced,
    Asked,
    Malformed,
    decode,
    encode_announcement,
    encode_question,
)
from node.network.identity import peer_id_of
from primitives.types import Seed

PEER = peer_id_of(Seed(bytes(32)))
GENESIS = "07" * 32
PLACE = f"/ip4/10.0.0.1/tcp/30333/p2p/{PEER}"


def test_a_question_reads_back() -> None:
    assert decode(encode_question()) == Asked()


def test_an_announcement_reads_back() -> None:
    assert decode(encode_announcement(PEER, GENESIS, (PLACE,))) == [Announced(GENESIS, (PLACE,))]


def test_names_may_refer_back_as_other_programs_have_it() -> None:
    """The name of the TXT record is a label and a pointer to the service in the question section."""
    text = f"genesis={GENESIS}".encode()
    packet = (
        struct.pack("!6H", 0, 0x8400, 1, 1, 0, 0)
        + b"".join(bytes([len(label)]) + label for label in SERVICE)
        + b"\x00"
        + struct.pack("!2H", 12, 1)
        + b"\x04node\xc0\x0c"
        + struct.pack("!2HIH", 16, 1, 120, len(text) + 1)
        + bytes([len(text)])
        + text
    )
    assert decode(packet) == [Announced(GENESIS, ())]


def test_questions_and_records_of_others_say_nothing() -> None:
    other = encode_question().replace(b"_consilience", b"_other-thing")
    assert decode(other) == []
    assert (
        decode(encode_announcement(PEER, GENESIS, (PLACE,)).replace(b"_consilience", b"_other-thing")) == []
    )


HEADER = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        HEADER,
        HEADER + b"\xc0\x0c",
        HEADER + b"\xc0\xff",
        HEADER + b"\x01a\xc0\x0c",
        HEADER + b"\x80abc",
        HEADER + b"\x3f" + bytes(10),
        HEADER + (b"\x3f" + b"a" * 63) * 5 + b"\x00" + bytes(10),
        HEADER + b"\x00" + struct.pack("!2HIH", 16, 1, 0, 500),
        struct.pack("!6H", 0, 0x8400, 0, 33, 0, 0) + bytes(1000),
        struct.pack("!6H", 0, 0, 33, 0, 0, 0) + bytes(1000),
        bytes(PACKET_BYTES_MAX + 1),
    ],
    ids=[
        "nothing",
        "a header alone",
        "a name that is itself",
        "a name that refers forwards",
        "a circle",
        "no label",
        "a label that is cut off",
        "a long name",
        "a record that is cut off",
        "many records",
        "many questions",
        "a long packet",
    ],
)
def test_a_malformed_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(Malformed):
        decode(packet)


@given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=20))
def test_no_packet_raises_anything_else(noise: bytes, at: int, patch: bytes) -> None:
    announcement = encode_announcement(PEER, GENESIS, (PLACE,))
    for packet in (noise, HEADER + noise, announcement[:at] + patch + announcement[at + len(patch) :]):
        with suppress(Malformed):
            decode(packet)
