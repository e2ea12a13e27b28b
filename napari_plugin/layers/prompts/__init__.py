"""Clicks, boxes and lassos: the layers that they are placed in, and what is read from them."""
