"""Static pages on which people look through a session: frames, masks, scores, doubtful frames."""
