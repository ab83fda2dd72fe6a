"""A clock that stands still, for tests of what is timed."""


def stop_clock(monkeypatch, module):
    """Replace `time` in a module by a clock that moves only by `move(seconds)`, which returns the seconds."""
    now = [0.0]

    class Time:
        perf_counter = staticmethod(lambda: now[0])

    def move(seconds: float) -> float:
        now[0] += seconds
        return seconds

    monkeypatch.setattr(module, "time", Time)
    return move
