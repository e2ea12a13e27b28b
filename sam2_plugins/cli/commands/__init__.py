"""The commands of ``sam2``, one file each; every file has a ``register(app)``."""
