"""Single images: prompted masks, and masks of everything."""
