"""A function as a graph of operations: read from its jaxpr, and followed by its gradient."""
