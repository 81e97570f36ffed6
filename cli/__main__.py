"""`python -m cli`: the same as `consil`, for the processes that `consil` starts."""

from cli.main import main

main()
