"""Training: losses and simulated prompts, for fine-tuning and for nano."""
