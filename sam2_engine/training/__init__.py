"""How a model is taught: data, simulated prompts, losses, the trainer."""
