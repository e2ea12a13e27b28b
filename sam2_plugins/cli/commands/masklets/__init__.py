"""Commands of a data set of masklets: make, queue, verdict, report."""
