"""The garbage collector of a process that serves for weeks.

A server makes tens of thousands of objects that live as long as it does (modules, contracts, SQL), and then, for every
batch, thousands that die with it. The interpreter's defaults look for cycles each 700 new objects and walk through all
the old ones again and again: a quarter of the processor that recording events takes.
"""

import gc

NEW_OBJECTS = 100_000
"""How many more objects there are before young ones are looked through, which takes some milliseconds.

More than the batches that are at work hold together: what they made is gone before it is looked at.
"""
YOUNGER_PASSES = 10
"""How often the younger ones are looked through for each time that the older are."""


def settle() -> None:
    """Call it once, when the process has started: what is there now is not looked through any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNGER_PASSES, YOUNGER_PASSES)
