"""Files, whole or not at all: how they are read, checked and written. Nothing is ever unpickled."""
