"""Video files: their containers, an index of frames by time, and a decoder that trusts no damaged data."""
