"""Nothing that is declared is forgotten."""

from primitives.codec import Codec
from tests.fuzz.declared import codecs, modules, protocols
from tests.fuzz.targets import targets


def test_every_codec_of_a_module_is_fuzzed() -> None:
    fuzzed = set(map(id, codecs().values()))
    for module in modules():
        declared = [value for value in vars(module).values() if isinstance(value, Codec)]
        assert all(id(codec) in fuzzed for codec in declared), module
    assert codecs().keys() <= {target.name for target in targets()}


def test_the_protocols_are_found() -> None:
    assert {"/consilience/hello/1", "/consilience/consensus/1", "/consilience/announce/1"} <= protocols()
