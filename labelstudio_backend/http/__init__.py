"""HTTP server of the ML backend."""
