"""Policies of memory: which mask a tracked frame takes, what is remembered of it, and what is read again."""
