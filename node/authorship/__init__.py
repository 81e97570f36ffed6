"""Making blocks: what goes in, and, on a development chain, when."""
