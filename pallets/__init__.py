"""On-chain logic, one package per concern; pallets never import one another."""
