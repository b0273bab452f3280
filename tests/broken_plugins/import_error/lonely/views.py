"""It leans on a library that nobody has."""

import nothing_of_the_sort  # noqa: F401
