"""Times training on the CPU: jaxpercep beside every peer, across batch sizes, depths and widths."""
