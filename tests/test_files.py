"""Files that are whole or not there, what killed runs have left, and signals that end a run."""

import os
import signal
import subprocess
import sys
import time

import pytest

from wholebody.files import identity, replacing
from wholebody.signals import ended_by_signals, undivided

KILLED = """
import os, signal, sys
from pathlib import Path
from wholebody.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    {then}
"""


def write_and(then, target):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED.format(then=then), target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.skipif(os.name == "nt", reason="there, age tells")
def test_what_a_killed_run_left_is_removed_by_the_next_and_what_is_being_written_stays(tmp_path):
    write_and("os.kill(os.getpid(), signal.SIGKILL)", tmp_path / "killed.json").communicate()
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".mine.abcd1234.json").write_text("a user's own")
    with write_and("print(flush=True); sys.stdin.read()", tmp_path / "slow.json") as writing:
        try:
            writing.stdout.readline()
            assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["mine", "slow"]
            write_and("pass", tmp_path / "next.json").communicate()
            there = {path.name.split(".")[1] if path.name[0] == "." else path.name for path in tmp_path.iterdir()}
            assert there == {"mine", "slow", "next.json"}
        finally:
            writing.kill()


def test_a_file_that_is_to_last_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    with replacing(path, durable=True) as partial:
        partial.write_text("one")
    with pytest.raises(RuntimeError), replacing(path, durable=True) as partial:
        partial.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_identity_tells_files_apart_by_both_ends_and_length(tmp_path):
    path, data = tmp_path / "a", bytearray(os.urandom(5 * 2**20))
    path.write_bytes(data)
    seen = {identity(path)}
    for change in (0, -1):
        data[change] ^= 1
        path.write_bytes(data)
        seen.add(identity(path))
    path.write_bytes(data[: 2**20] + data[2**20 + 1 :])
    seen.add(identity(path))
    path.write_bytes(b"")
    seen.add(identity(path))
    assert len(seen) == 5
    before = identity(tmp_path)
    (tmp_path / "b").write_bytes(b"")
    assert identity(tmp_path) != before


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_command_that_is_ended_says_so_and_leaves_nothing_half(tmp_path, name):
    # The command: a writer that waits, under the same roof as all of them.
    code = (
        # What runs in the background ignores SIGINT, and so would its children.
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from wholebody import cli\nfrom wholebody.files import replacing\n"
        "def models() -> int:\n    with replacing(sys.argv[1]):\n        print(flush=True)\n        time.sleep(60)\n"
        "    return 0\ncli.COMMANDS['models'] = models\ncli.main(['models'])"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a.json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with command:
        command.stdout.readline()
        command.send_signal(getattr(signal, name))
        _, errors = command.communicate(timeout=60)
    assert command.returncode == 130 and errors == "wholebody: interrupted. Finished results are kept.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_what_belongs_together_is_done_before_the_signal(request):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, before))
    done = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        with undivided():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)
            done.append("all")
        done.append("more")
    assert done == ["all"] and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
