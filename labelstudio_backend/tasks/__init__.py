"""Requests about images and videos, answered."""
