"""The command `consil`: one module per group of commands, each of which parses, calls and prints."""
