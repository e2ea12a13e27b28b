"""The official predictors' helpers: transforms of images, frames of videos, small regions of masks."""
