"""Exact inference: prove, convert and run ONNX models whose outputs are the same bits everywhere."""
