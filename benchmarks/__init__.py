"""How fast CPU training is: jaxpercep beside every peer, across batch sizes, depths and widths."""
