"""Review of tracked masks: how doubtful each one is, and the main reason in words.

Every mask that the model tracked gets a value of each of a handful of cues, from 0, nothing unusual, to 1,
with a reason in words. The logistic function of their weighted sum is the mask's score; its reason is that of
the cue that exceeds its mean over right masks the most. ``docs/review.md`` explains it to users, and
``benchmarks/results/review/quality.md`` measures how many of the wrong masks it finds.
"""

from sam2_plugins.review.cues import ReviewItem
from sam2_plugins.review.queue import DOUBTFUL, LiveReview, Review, ReviewableSession, review_queue
from sam2_plugins.review.ranking import RankedItems

__all__ = ["DOUBTFUL", "LiveReview", "RankedItems", "Review", "ReviewItem", "ReviewableSession"]
__all__ += ["review_queue"]
