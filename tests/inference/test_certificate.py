"""What is read of certificates and of tensors that claim to be a model's."""

from typing import Final

import pytest

from inference.certificate import PortSpec, Scale, decode_certificate, encode_verdict, in_range
from inference.prover import prove
from inference.refusal import Refusal
from inference.tensor import Tensor, TensorError, from_integers
from primitives.codec import CodecError
from tests.inference.build import two_layers

PORT: Final = PortSpec(
    name="x", dtype="int32", shape=(2,), low=-3, high=7, scales=(Scale(1, 1),), zero_points=(0,)
)


class TestDecodeCertificate:
    def test_gives_the_verdict_that_proves(self) -> None:
        certificate = prove(two_layers()).certificate
        assert decode_certificate(encode_verdict(certificate)) == certificate

    def test_refuses_a_refusal(self) -> None:
        with pytest.raises(CodecError):
            decode_certificate(encode_verdict(Refusal(node="a", reason="b")))


class TestInRange:
    @pytest.mark.parametrize("values", [(-3, 7), (0, 0)])
    def test_both_ends_are_inside(self, values: tuple[int, int]) -> None:
        assert in_range([PORT], [from_integers("int32", (2,), values)])

    @pytest.mark.parametrize("values", [(-4, 0), (0, 8)])
    def test_one_beyond_an_end_is_outside(self, values: tuple[int, int]) -> None:
        assert not in_range([PORT], [from_integers("int32", (2,), values)])

    def test_every_port_counts(self) -> None:
        inside, outside = from_integers("int32", (2,), (0, 0)), from_integers("int32", (2,), (0, 9))
        assert not in_range([PORT, PORT], [inside, outside])

    def test_refuses_what_are_no_integers(self) -> None:
        with pytest.raises(TensorError, match="no integer type"):
            in_range([PORT], [Tensor(dtype="float32", shape=(2,), data=bytes(8))])
