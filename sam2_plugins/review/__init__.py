"""Where to look first: how doubtful each mask is, and why, in words.

Every mask that the model followed is looked at by a handful of cues. A cue is a number from 0, nothing
unusual, to 1, and words that say what was seen. Their weighted sum goes through the logistic function; the
reason given is the cue that lifts the sum most above that of a usual mask. ``docs/review.md`` explains it to
users, and ``benchmarks/results/review_quality.md`` holds what it finds.
"""

from sam2_plugins.review.cues import ReviewItem
from sam2_plugins.review.queue import Review, Reviewable, review_queue

__all__ = ["Review", "ReviewItem", "Reviewable", "review_queue"]
