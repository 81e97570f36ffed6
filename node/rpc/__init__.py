"""JSON-RPC over HTTP: the door for tools on the operator's machine."""
