"""The runtime below the widgets: models, threads, preferences."""
