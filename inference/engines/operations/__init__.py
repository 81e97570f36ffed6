"""What each operator computes, in numpy: the reference engine's parts."""
