"""The ML backend as an HTTP server."""
