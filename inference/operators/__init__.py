"""One rule per ONNX operator that the prover admits."""
