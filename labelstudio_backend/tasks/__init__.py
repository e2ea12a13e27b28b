"""Predictions for the images and videos of tasks."""
