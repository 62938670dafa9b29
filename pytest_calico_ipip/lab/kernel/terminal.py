"""Who is in the foreground of the user's terminal, and so hears Ctrl-C."""

from __future__ import annotations

import os
import signal


def own_terminal() -> int | None:
    """The standard stream that is this session's terminal, if this process is in its foreground."""
    for number in (0, 1, 2):
        try:
            if os.isatty(number) and os.tcgetpgrp(number) == os.getpgrp():
                return number
        except OSError:  # closed, or another session's
            continue
    return None


def take_terminal(terminal: int, group: int) -> None:
    """Put a process group into the foreground, also from the background."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)
