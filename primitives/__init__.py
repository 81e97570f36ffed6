"""Shared vocabulary of runtime, node and light client: types, records, codec, hashes, keys and their verifiers."""
