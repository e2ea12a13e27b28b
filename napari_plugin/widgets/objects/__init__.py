"""Widgets of the objects: their list, their menu, and the strips of their states."""
