"""How nano is trained from nothing."""
