"""Masklets of whole data sets: found in videos by themselves, verified by people, learned from, counted.

The data engine of the SAM 2 paper (section 5) on one's own videos; see ``docs/data-engine.md``.
"""
