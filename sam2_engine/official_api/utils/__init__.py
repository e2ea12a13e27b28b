"""The official predictors' helpers: transforms, frames of videos, masks of everything."""
