"""Export of outlines: polygons for ImageJ, QuPath, TrackMate and YOLO."""
