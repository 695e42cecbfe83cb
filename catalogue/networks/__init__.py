"""Networks as people write them, each with its right backward pass, for `catalogue.mistakes`.

Forward passes are `jnp` and are differentiated by autodiff. Backward passes are NumPy or `jnp`, and
keep the dtype of their arguments. Each forward operation stands on a line of its own that ends in a
tag, by which a mistake names its place.
"""
