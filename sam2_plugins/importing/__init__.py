"""Masks and prompts from other tools' files."""
