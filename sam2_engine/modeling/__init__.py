"""Model: one file per box of the paper's figure, keys as in the official checkpoints."""
