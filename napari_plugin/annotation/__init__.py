"""One image under annotation: its session joined to its layers."""
