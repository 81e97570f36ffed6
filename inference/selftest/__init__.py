"""Whether an engine computes as the proofs assume: tried on models whose answers plain integers give."""
