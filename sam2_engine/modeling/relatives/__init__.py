"""Boxes that relatives of SAM 2 have of their own: trunks and memories of EfficientTAM and EdgeTAM."""
