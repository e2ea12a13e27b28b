"""Images and videos of tasks: addresses, downloads, decoding."""
