"""The runtime: which pallets, in which order, with which constants, and the questions that a node asks it."""
