"""Image encoder, under its official module names: its parts are refused."""
