"""Float models as programs, written step by step together with the ONNX nodes that compute them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.converter.program import (
    Combination,
    Combine,
    Convolution,
    Form,
    Head,
    Map,
    Matrix,
    Move,
    Movement,
    Pool,
    Program,
    Reals,
    Reduce,
    Reduction,
    Sink,
    Source,
    Step,
    Window,
)
from inference.converter.report import Conversion
from inference.engines.onnx_runtime import OnnxRuntimeEngine

Samples = list[dict[str, NDArray[Any]]]


def random(*shape: int, seed: int = 1, scale: float = 1.0) -> Reals:
    """Normal numbers that float32 holds."""
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return values.astype(np.float32).astype(np.float64)


def square(size: int, stride: int = 1, padding: int = 0) -> Window:
    """A square window."""
    return Window(
        kernel=(size, size),
        strides=(stride, stride),
        dilations=(1, 1),
        before=(padding, padding),
        after=(padding, padding),
    )


@dataclass
class Draft:
    """A float model that grows; every method gives the name of its result."""

    shape: tuple[int, ...]
    steps: list[Step] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def program(self, result: str, head: Head = Head.NONE, class_axis: int | None = None) -> Program:
        graph = helper.make_graph(
            self.nodes,
            "float",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            [onnx.ValueInfoProto(name=result)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return Program(
            sources=(Source(name="x", dtype="float32", shape=self.shape),),
            steps=tuple(self.steps),
            sinks=(Sink(name=result, step=result, head=head, class_axis=class_axis),),
            folded=model.SerializeToString(),
        )

    def convolution(
        self,
        x: str,
        weights: Reals,
        window: Window,
        *,
        groups: int = 1,
        bias: Reals | None = None,
        transposed: bool = False,
    ) -> str:
        outputs = weights.shape[1] * groups if transposed else weights.shape[0]
        bias = np.zeros(outputs) if bias is None else bias
        step = Convolution(
            name=self._name("conv"),
            inputs=(x,),
            shape=(),
            weights=weights,
            bias=bias,
            window=window,
            groups=groups,
            transposed=transposed,
        )
        attributes: dict[str, Any] = {
            "kernel_shape": window.kernel,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads": (*window.before, *window.after),
            "group": groups,
        }
        operator = "ConvTranspose" if transposed else "Conv"
        return self._add(step, operator, [x, self._constant(weights), self._constant(bias)], attributes)

    def matrix(self, x: str, weights: Reals, bias: Reals | None = None) -> str:
        bias = np.zeros(weights.shape[1]) if bias is None else bias
        product = f"{self._name('matrix')}.product"
        self.nodes.append(helper.make_node("MatMul", [x, self._constant(weights)], [product]))
        step = Matrix(name=self._name("matrix"), inputs=(x,), shape=(), weights=weights, bias=bias)
        return self._add(step, "Add", [product, self._constant(bias)], {})

    def map(
        self,
        x: str,
        form: Form,
        *parameters: float,
        scale: Reals | None = None,
        offset: Reals | None = None,
    ) -> str:
        scale = np.ones(()) if scale is None else scale
        offset = np.zeros(()) if offset is None else offset
        scaled, moved = f"{self._name('map')}.scaled", f"{self._name('map')}.moved"
        self.nodes.append(helper.make_node("Mul", [x, self._constant(scale)], [scaled]))
        self.nodes.append(helper.make_node("Add", [scaled, self._constant(offset)], [moved]))
        step = Map(
            name=self._name("map"),
            inputs=(x,),
            shape=(),
            form=form,
            scale=scale,
            offset=offset,
            evaluate=lambda values: values,
            parameters=parameters,
        )
        match form:
            case Form.AFFINE:
                return self._add(step, "Identity", [moved], {})
            case Form.CLIP:
                ends = [self._constant(np.array(each)) for each in parameters]
                return self._add(step, "Clip", [moved, *ends], {})
            case Form.HARD_SIGMOID:
                alpha, beta = parameters
                return self._add(step, "HardSigmoid", [moved], {"alpha": alpha, "beta": beta})
            case Form.HARD_SWISH:
                return self._add(step, "HardSwish", [moved], {})
            case Form.LEAKY:
                return self._add(step, "LeakyRelu", [moved], {"alpha": parameters[0]})
        raise AssertionError(form)

    def relu(self, x: str) -> str:
        return self.map(x, Form.CLIP, 0.0, inf)

    def combine(self, combination: Combination, left: str, right: str) -> str:
        operator = {"add": "Add", "subtract": "Sub", "multiply": "Mul", "maximum": "Max", "minimum": "Min"}
        step = Combine(name=self._name("both"), inputs=(left, right), shape=(), combination=combination)
        return self._add(step, operator[combination.value], [left, right], {})

    def pool(self, x: str, reduction: Reduction, window: Window) -> str:
        step = Pool(name=self._name("pool"), inputs=(x,), shape=(), reduction=reduction, window=window)
        attributes: dict[str, Any] = {
            "kernel_shape": window.kernel,
            "strides": window.strides,
            "pads": (*window.before, *window.after),
        }
        if reduction is Reduction.MEAN:
            return self._add(step, "AveragePool", [x], attributes | {"count_include_pad": 1})
        return self._add(step, "MaxPool", [x], attributes)

    def reduce(self, x: str, reduction: Reduction, axes: tuple[int, ...], keep: bool = True) -> str:
        step = Reduce(
            name=self._name("reduce"), inputs=(x,), shape=(), reduction=reduction, axes=axes, keep=keep
        )
        attributes: dict[str, Any] = {"keepdims": int(keep)}
        if reduction is Reduction.SUM:
            return self._add(step, "ReduceSum", [x, self._whole(axes)], attributes)
        operator = {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean"}[reduction.value]
        return self._add(step, operator, [x], attributes | {"axes": axes})

    def move(self, movement: Movement, *inputs: str, fill: float = 0.0, **arguments: tuple[int, ...]) -> str:
        """RESHAPE takes the new `shape` as an argument, which the step does without."""
        kept = {name: value for name, value in arguments.items() if name != "shape"}
        step = Move(
            name=self._name("move"), inputs=inputs, shape=(), movement=movement, arguments=kept, fill=fill
        )
        names = list(inputs)
        attributes: dict[str, Any] = {}
        match movement:
            case Movement.RESHAPE:
                names.append(self._whole(arguments["shape"]))
            case Movement.TRANSPOSE:
                attributes = {"perm": arguments["perm"]}
            case Movement.CONCAT:
                attributes = {"axis": arguments["axis"][0]}
            case Movement.SLICE:
                names += [self._whole(arguments[each]) for each in ("starts", "ends", "axes", "steps")]
            case Movement.PAD:
                names += [self._whole(arguments["pads"]), self._constant(np.array(fill))]
            case Movement.GATHER:
                names.append(self._whole(arguments["indices"]))
                attributes = {"axis": arguments["axis"][0]}
            case Movement.RESIZE:
                names += ["", self._constant(np.array(arguments["scales"], dtype=np.float64))]
                attributes = {
                    "coordinate_transformation_mode": "asymmetric",
                    "mode": "nearest",
                    "nearest_mode": "floor",
                }
        return self._add(step, movement.value, names, attributes)

    def _add(self, step: Step, operator: str, inputs: Sequence[str], attributes: dict[str, Any]) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [step.name], **attributes))
        self.steps.append(replace(step, shape=self._shape(step.name)))
        return step.name

    def _shape(self, name: str) -> tuple[int, ...]:
        """As onnx infers it."""
        graph = helper.make_graph(
            self.nodes,
            "shapes",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            [],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        for info in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
            if info.name == name:
                return tuple(each.dim_value for each in info.type.tensor_type.shape.dim)
        raise AssertionError(name)

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.steps)}"

    def _constant(self, values: Reals) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        return name

    def _whole(self, values: Sequence[int]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name


def samples(shape: tuple[int, ...], count: int, seed: int, scale: float = 1.0) -> Samples:
    """Inputs of normal numbers."""
    values = np.random.default_rng(seed).normal(size=(count, *shape)) * scale
    return [{"x": each} for each in values.astype(np.float32)]


def exact(program: Program, options: Options | None = None, count: int = 200) -> Conversion:
    """Converted with normal numbers, and compared on others that are half as large."""
    shape = program.sources[0].shape
    return make_exact(
        program,
        samples(shape, count, 1),
        samples(shape, max(count // 4, 1), 2, scale=0.5),
        options or Options(),
        OnnxRuntimeEngine(),
        unwatched,
    )
