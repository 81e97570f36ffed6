"""Models that blocks run: their files are always here, and run in a worker while a block is executed."""
