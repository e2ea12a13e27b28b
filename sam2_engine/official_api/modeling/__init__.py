"""The model under its official name."""
