"""The annotation of one image: its session joined to its layers."""
