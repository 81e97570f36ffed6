"""The light client: believes proofs, and no server."""
