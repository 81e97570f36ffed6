"""Agreement on one chain: the weighted Simplex engine, its persistence, and its trio shell."""
