"""The dock widget, one panel per file."""
