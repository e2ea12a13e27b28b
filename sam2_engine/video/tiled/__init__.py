"""Objects over several tiles of a plane: where each is, what they claim of each other, who is who."""
