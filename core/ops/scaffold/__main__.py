"""``python -m core.ops.scaffold NAME``: ``flask plugins new`` without a board."""

from core.ops.scaffold import new

if __name__ == "__main__":
    new(prog_name="python -m core.ops.scaffold")
