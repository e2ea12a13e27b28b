"""Label Studio's JSON: labeling configuration, regions, keyframes, settings."""
