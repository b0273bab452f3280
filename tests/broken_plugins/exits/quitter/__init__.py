"""It gives up when something is missing, and the board with it."""

import sys

if "QUITTER_KEY" not in sys.argv:
    sys.exit("QUITTER_KEY is missing")
