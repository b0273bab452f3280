"""``flask doctor``: what is missing or unsafe on this board, and the cure.

A module here is one topic: a function that looks at a ``Patient`` and yields ``Finding``s. Topics ask at the same time,
each with servers and connections of its own, and none may keep the others waiting: a board whose servers are dead, or
that does not even start, is exactly the one that the doctor is called to.
"""
