"""The panels of the dock, one for each tab or section."""
