"""What runs the models of a host: devices, jobs, estimates, files written whole."""
