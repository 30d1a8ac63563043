"""Which threads of the server run before other processes."""

import os


def go_first() -> None:
    """Let the calling thread run before other processes whenever it has something to do, where that is permitted.

    The server's lateness would be measured as the functions'. On kernels with lazy preemption a process that wakes
    waits for the next tick, 4 ms, if the cores are busy; one of a real-time class does not. It takes a tenth of a core.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return  # an ordinary user's server is a little later; its lag is measured and part of every verdict
