"""Ports for processes that must be told theirs before they start."""

import random
import socket
from contextlib import ExitStack, suppress


def free_ports(count: int) -> list[int]:
    """Ports that are free, none of those that the system hands out in passing to whoever asks for any."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            with suppress(OSError):
                listener = stack.enter_context(socket.create_server(("127.0.0.1", random.randrange(20_000, 32_000))))
                ports.append(listener.getsockname()[1])
    return ports
