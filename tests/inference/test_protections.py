"""What an operator is told of a worker's sandbox."""

from inference.protections import Protections


def test_what_is_missing_is_named() -> None:
    assert Protections(memory=True, network=True, privileges=True, files=True, calls=True).missing() == ()
    some = Protections(memory=True, network=False, privileges=True, files=True, calls=False)
    assert some.missing() == ("network", "calls")
