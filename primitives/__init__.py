"""Types, records, codec, hashes and keys that runtime, node and light client share, with their verifiers."""
