"""Payment companies that behave like the originals, on loopback. For tests only: production code cannot import them."""
