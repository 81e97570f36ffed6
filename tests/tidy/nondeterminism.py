"""Finds what could make two machines disagree: floats, true division, `hash`, `id`, set order, randomness.

It reads the syntax tree only, so a set is known by how it is written: a literal, a comprehension, a call of
`set` or `frozenset`, an operation on one, or a name annotated or assigned as one in the same file.
"""

import ast
from collections.abc import Iterator
from typing import Final, TypeGuard

_SET_TYPES: Final = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}
_SET_METHODS: Final = {"union", "intersection", "difference", "symmetric_difference"}
_SET_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)

NUMBERS: Final = ("float", "float literal", "true division")
"""Reasons that do not hold for a core that is given the time in float seconds: a float is the same twice."""

_WALKS: Final = {"enumerate", "filter", "iter", "map", "next", "zip"}
_ORDER_MATTERS: Final = _WALKS | {"extend", "fromkeys", "join", "list", "tuple"}
_ORDER_IS_LOST: Final = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}

_RANDOM_MODULES: Final = {"random", "secrets", "uuid", "nacl.utils", "numpy.random"}
_RANDOM_NAMES: Final = {"urandom", "getrandom", "SystemRandom", "uuid1", "uuid4", "token_bytes"}


def offences(source: str) -> list[tuple[int, str]]:
    """Line and reason of each offence, in the order of the lines."""
    tree = ast.parse(source)
    found = [*_numbers(tree), *_identities(tree), *_randomness(tree), *_SetOrder(tree).offences()]
    return sorted(set(found))


def _numbers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield node.lineno, "float literal"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division"
            case ast.Name(id="float" | "complex", ctx=ast.Load()):
                yield node.lineno, "float"


def _identities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """`hash` and `id` of the interpreter: called, or handed over as a key. A variable may be called `id`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="hash" | "id" as name)):
                yield node.lineno, name
            case ast.keyword(arg="key", value=ast.Name(id="hash" | "id" as name)):
                yield node.value.lineno, name


def _randomness(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(each.name in _RANDOM_MODULES for each in names):
                yield node.lineno, "random source"
            case ast.ImportFrom(module=module, names=names) if module in _RANDOM_MODULES or any(
                each.name in _RANDOM_NAMES or f"{module}.{each.name}" in _RANDOM_MODULES for each in names
            ):
                yield node.lineno, "random source"
            case ast.Attribute(attr=name) if name in _RANDOM_NAMES:
                yield node.lineno, "random source"


class _SetOrder:
    """Where the order of a set would be seen."""

    def __init__(self, tree: ast.AST) -> None:
        self._tree = tree
        self._sets = {ast.unparse(target) for target in self._declared()}
        """Names and attributes (`held`, `self.held`) that hold a set somewhere in this file."""

    def offences(self) -> Iterator[tuple[int, str]]:
        harmless = self._order_is_lost()
        for node in ast.walk(self._tree):
            for seen in self._walked_by(node):
                if node not in harmless and self._is_set(seen):
                    yield seen.lineno, "order of a set"

    def _declared(self) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            match node:
                case ast.arg(arg=name, annotation=ast.expr() as annotation) if _names_set(annotation):
                    yield ast.Name(id=name)
                case ast.AnnAssign(target=target, annotation=annotation) if _names_set(annotation):
                    yield target
                    if isinstance(target, ast.Name):  # perhaps a field of a record
                        yield ast.Attribute(value=ast.Name(id="self"), attr=target.id)
                case ast.Assign(targets=targets, value=value) if _is_set_expression(value):
                    yield from targets

    def _order_is_lost(self) -> set[ast.AST]:
        """Generators whose order nobody sees: those that make a set, or feed `sorted` and its like."""
        lost: set[ast.AST] = {node for node in ast.walk(self._tree) if isinstance(node, ast.SetComp)}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and _called(node) in _ORDER_IS_LOST:
                lost.update(node.args)
        return lost

    def _walked_by(self, node: ast.AST) -> list[ast.expr]:
        """The expressions that `node` takes in their own order."""
        match node:
            case ast.For(iter=walked) | ast.Starred(value=walked) | ast.YieldFrom(value=walked):
                return [walked]
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
                return [generator.iter for generator in node.generators]
            case ast.Call(func=ast.Attribute(value=holder, attr="pop"), args=[]):
                return [holder]
            case ast.Call(args=arguments) if _called(node) in _ORDER_MATTERS:
                return list(arguments)
        return []

    def _is_set(self, node: ast.expr) -> bool:
        if _is_set_expression(node) or ast.unparse(node) in self._sets:
            return True
        return _may_make_set(node) and (self._is_set(node.left) or self._is_set(node.right))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _names_set(annotation: ast.expr) -> bool:
    match annotation:
        case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name):
            return name in _SET_TYPES
        case ast.Subscript(value=ast.Name(id="Final" | "ClassVar"), slice=inner):
            return _names_set(inner)
    return False


def _is_set_expression(node: ast.expr) -> bool:
    """A set by its own form, whatever the names in it hold."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in _SET_METHODS
    if _may_make_set(node):
        return any(_is_set_expression(side) or _is_dict_view(side) for side in (node.left, node.right))
    return False


def _may_make_set(node: ast.expr) -> TypeGuard[ast.BinOp]:
    """Only if one of the sides is a set."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, _SET_OPERATORS)


def _is_dict_view(node: ast.expr) -> bool:
    """`a.keys() & b` is a set, though `a.keys()` alone has the order of its dict."""
    return isinstance(node, ast.Call) and _called(node) in {"keys", "items"}
