"""Extrinsics that wait for a block: which are kept, in which order they are offered, how they are told on."""
