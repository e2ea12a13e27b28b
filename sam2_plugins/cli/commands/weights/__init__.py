"""Commands on the weights of models, one file each; every file has a ``register(app)``."""
