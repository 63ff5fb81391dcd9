"""What the drivers have in common."""

import time


def check(name, value):
    print(f"check {name}: {value}", flush=True)


def until(condition, limit=120):
    """What the condition came to, seconds at most."""
    end = time.monotonic() + limit
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value
