"""Inference: requests to run a model, and the record of what validators attested."""

from pallets.inference.pallet import Config, Inference, Needs, is_output_long
from pallets.inference.types import InferenceRecord, InputForm, Request, RequestInput

__all__ = [
    "Config",
    "Inference",
    "InferenceRecord",
    "InputForm",
    "Needs",
    "Request",
    "RequestInput",
    "is_output_long",
]
