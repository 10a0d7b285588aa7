"""Who hears Ctrl-C: this process alone, so that it stops everything in order and ``make`` sees a clean exit."""

import contextlib
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def foreground() -> Iterator[None]:
    """On a terminal whose foreground is ours, take it for this process, so that Ctrl-C does not break off ``make``."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield
        return
    group = os.getpgrp()
    ours = os.tcgetpgrp(terminal) == group  # `make run &` leaves the terminal to the shell
    if ours and os.getpid() != group:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        if ours:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(terminal, group)
        os.close(terminal)
