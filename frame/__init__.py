"""What pallets are written in: state, storage items, origins, calls, events, errors, weights, metadata."""
