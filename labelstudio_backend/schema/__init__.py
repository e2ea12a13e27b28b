"""Label Studio's JSON: labeling configuration, regions, keyframes, extra params."""
