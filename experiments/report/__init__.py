"""The page, its player and the gallery, made from what is on disk alone."""
