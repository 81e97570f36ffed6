"""What a node keeps about its chain: blocks, state, the tree over the state, and proofs from it."""
