"""Import of masks and prompts from other tools' files."""
