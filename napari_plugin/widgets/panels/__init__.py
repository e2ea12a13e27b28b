"""The panels of the dock, one a tab or section."""
