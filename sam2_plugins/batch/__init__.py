"""Work on whole files, one job each: here one after the other, or on the workers of a cluster."""
