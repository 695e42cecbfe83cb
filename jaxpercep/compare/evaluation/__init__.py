"""Both gradients, measured: in the caller's dtype, in float64, and against finite differences."""
