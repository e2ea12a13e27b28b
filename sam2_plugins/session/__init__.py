"""The annotation session: objects, prompts, masks, undo, propagation."""
