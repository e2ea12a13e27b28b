"""Image files (PNG, JPEG, GIF, WebP, AVIF, ...): their decoder, and their frames where they are animated."""
