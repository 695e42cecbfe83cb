"""Right hand-written backward passes, drawn at random: all of them must match."""
