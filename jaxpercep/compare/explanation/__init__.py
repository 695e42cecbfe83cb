"""The mistakes that turn the right gradient into the hand-written one, and their messages."""
