"""The command line, called in this process."""

import pytest

from mmm.cli import main


def exit_code(*args: object) -> int:
    """Exit code of `mmm ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code
