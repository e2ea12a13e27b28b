"""Runtime of a host's models: devices, jobs, estimates, files written atomically."""
