"""Private inputs: sealing them to a panel, opening them as one of it, and the keys for that."""
