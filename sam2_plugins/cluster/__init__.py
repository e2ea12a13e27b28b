"""Work beyond one machine, on dask.distributed: jobs on the workers of a cluster, a GPU elsewhere."""
