"""Annotated projects as files."""
