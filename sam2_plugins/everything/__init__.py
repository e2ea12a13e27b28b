"""Everything in a stack, found and tracked without a click: objects, gaps, divisions."""
