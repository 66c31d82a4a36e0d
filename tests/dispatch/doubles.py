"""What the tests of several dispatchers need."""

import sys
import threading
from itertools import count


def start_nothing(status, headers, exc_info=None):
    return lambda data: None


def send_while_changing(send, change, threads=4):
    """Call *send* in threads, while another calls *change* with 0, 1, 2... until they end."""
    done = threading.Event()

    def keep_changing():
        for number in count():
            if done.is_set():
                break
            change(number)

    changing = threading.Thread(target=keep_changing)
    sending = [threading.Thread(target=send) for _ in range(threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in [changing, *sending]:
            thread.start()
        for thread in sending:
            thread.join()
    finally:
        done.set()
        changing.join()
        sys.setswitchinterval(interval)
