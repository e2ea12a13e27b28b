"""Training of nano from random weights."""
