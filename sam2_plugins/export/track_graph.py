"""Graph of tracks: an edge from frame to frame of every object, and from parents to their children."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_plugins.session.readable import ReadableSession

__all__ = ["track_edges"]


def track_edges(session: ReadableSession, frames: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Return (N, 2) pairs of nodes: from frame to frame of an object, and from parents to children.

    Parameters
    ----------
    session
        Its objects say who came from whom.
    frames, ids
        Frame and object of every node, by frame. A parent that is not visible before its child has no edge
        to it.
    """
    nodes = {object_id: np.flatnonzero(ids == object_id) for object_id in np.unique(ids).tolist()}
    edges = [pair for own in nodes.values() for pair in pairwise(own.tolist())]
    for object_id, own in nodes.items():
        for parent in session.objects[object_id].parents:
            earlier = [node for node in nodes.get(parent, ()) if frames[node] < frames[own[0]]]
            if earlier:
                edges.append((int(earlier[-1]), int(own[0])))
    return np.array(edges, np.uint64).reshape(-1, 2)
