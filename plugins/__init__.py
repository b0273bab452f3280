"""The built-in plugins. The board finds them, like anybody else's, by the entry-point group ``pegboard.plugins``."""
