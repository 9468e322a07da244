"""Pictures decoded in groups, here and in processes, whatever is wrong with some of them."""

import os
import signal
import time

import cv2
import numpy as np
import pytest

from wholebody.batch import decode as module
from wholebody.batch.decode import Picture, decode, decoded, in_a_line
from wholebody.batch.sources import Item
from wholebody.errors import WholebodyError


def png(shade, size=(4, 3)):
    return cv2.imencode(".png", np.full((size[1], size[0], 3), shade, np.uint8))[1].tobytes()


def group(first, count=3):
    return [Item(f"{n}", data=png(n)) for n in range(first, first + count)]


def killer(items, strict):
    """`decode`, but a picture called "killer" takes the process along."""
    if any(item.id == "killer" for item in items):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(items, strict)


def shades(groups):
    return [
        (picture.id, None if picture.image is None else int(picture.image[0, 0, 0])) for g in groups for picture in g
    ]


def test_errors_have_no_name_and_stop_nobody():
    items = [Item("a", data=png(1)), Item("b", data=b"no"), Item("c", "memory://none"), Item("d", data=png(4))]
    pictures, rest = decode(items)
    assert not rest and shades([pictures]) == [("a", 1), ("b", None), ("c", None), ("d", 4)]
    assert pictures[1].error.startswith("not a picture that can be read here")
    assert pictures[2].error == "no such file. Check the name."


def test_errors_are_one_line():
    assert in_a_line(WholebodyError("a.jpg: torn. Mend it."), "", "a.jpg") == "torn. Mend it."
    assert in_a_line(ValueError("two\n  lines")) == "ValueError: two lines"
    assert in_a_line(WholebodyError("a\udcff.jpg: torn"), "a\udcff.jpg") == "torn"
    assert in_a_line(WholebodyError("a\udcff: torn")) == "a\\udcff: torn"  # Arrow stores UTF-8 only


def test_large_pictures_wait_their_turn(monkeypatch):
    monkeypatch.setattr(module, "GROUP_PIXELS", 30)
    pictures, rest = decode(group(0, 5))  # 12 pixels each
    assert [picture.id for picture in pictures] == ["0", "1"]
    assert [(item.id, item.data) for item in rest] == [(item.id, item.data) for item in group(2)]
    groups = list(decoded([group(0, 5)], 0))
    assert [len(g) for g in groups] == [2, 2, 1] and shades(groups) == [(f"{n}", n) for n in range(5)]
    monkeypatch.setattr(module, "GROUP_PIXELS", 1)
    assert len(list(decoded([group(0, 5)], 0))) == 5


@pytest.mark.slow
def test_processes_keep_the_order_and_a_crash_costs_one_picture(monkeypatch):
    monkeypatch.setattr(module, "decode", killer)
    groups = [group(0), [Item("before", data=png(7)), Item("killer"), Item("after", data=png(8))], group(3), group(6)]
    found = [picture for g in decoded(groups, 2) for picture in g]
    middle = [("before", 7), ("killer", None), ("after", 8)]
    assert shades([found]) == [(f"{n}", n) for n in range(3)] + middle + [(f"{n}", n) for n in range(3, 9)]
    assert [picture.error for picture in found if picture.image is None] == [
        "the decoder crashed. Save it again as JPEG or PNG."
    ]


@pytest.mark.slow
def test_a_crash_between_two_results_costs_one_picture(monkeypatch):
    """The pool is broken before more work is submitted."""
    pools, make = [], module._pool
    monkeypatch.setattr(module, "decode", killer)
    monkeypatch.setattr(module, "_pool", lambda processes: pools.append(make(processes)) or pools[-1])
    found = []
    for pictures in decoded([group(0, 1), [Item("killer")], group(2, 1), group(3, 1)], 1):
        found.append(pictures)
        while not pools[0]._broken:
            time.sleep(0.01)
    assert shades(found) == [("0", 0), ("killer", None), ("2", 2), ("3", 3)]


@pytest.mark.parametrize("processes", [0, 1])
def test_nothing_in_nothing_out(processes):
    assert list(decoded([], processes)) == [] and isinstance(Picture("a"), Picture)
