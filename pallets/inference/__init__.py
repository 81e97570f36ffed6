"""Inference: requests to run a model, and the record of what validators attested."""

from pallets.inference.pallet import Config, Inference, InferenceRecord, Needs, Request

__all__ = ["Config", "Inference", "InferenceRecord", "Needs", "Request"]
