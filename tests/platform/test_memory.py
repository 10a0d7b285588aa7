"""The garbage collector of a process that serves."""

import subprocess
import sys

from services.common import memory

_PROGRAM = """
import gc, weakref
from services.common import memory

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

memory.settle()
kept = gc.get_freeze_count()
after = cycle()
pile = []
while after() is not None and len(pile) < 10 * memory.NEW_OBJECTS:
    pile.append([])
print(kept, after() is None, len(pile))
"""


def test_what_a_process_began_with_is_left_alone_and_garbage_made_later_is_collected() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    kept, collected, objects = done.stdout.split()
    assert int(kept) > 1000
    assert collected == "True"
    assert int(objects) <= memory.NEW_OBJECTS
