"""Segmentation of single images: prompted masks, and masks of everything."""
