"""The command line, called in this process, and programs in two processes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from mmm.cli import main

ROOT = Path(__file__).resolve().parents[2]


def exit_code(*args: object) -> int:
    """Exit code of `mmm ARGS`."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def two_processes(command: list, **options: object) -> list[subprocess.Popen]:
    """A program twice, as `accelerate launch --num_processes 2` would start it, without the seconds of the launcher."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    shared |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    ranks = ({"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1"))
    return [subprocess.Popen(command, env=os.environ | shared | rank, **options) for rank in ranks]
