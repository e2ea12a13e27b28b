"""What runs below the widgets: models, threads, settings."""
