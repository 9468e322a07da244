"""Lines, batches and who waits for whom; with stages of plain functions."""

import threading
import time

import pytest

from wholebody.serve.batching import Batcher, Stage


def recorder(runs, gate=None):
    def run(items):
        if gate:
            gate.wait()
        runs.append(list(items))
        if "bad" in items:
            raise ValueError("bad")
        return [item * 2 for item in items]

    return run


def test_who_is_alone_does_not_wait():
    runs = []
    stage = Stage("only", recorder(runs), 8)
    batches = Batcher(stage, wait=30)
    with batches.visit() as visit:
        assert visit.bring(stage, 3).result(timeout=10) == 6
    batches.close()


def test_those_who_are_here_already_are_waited_for():
    runs = []
    stage = Stage("only", recorder(runs), 8)
    batches = Batcher(stage, wait=30)
    with batches.visit() as one, batches.visit() as two, batches.visit() as three:
        first = one.bring(stage, 1)
        second = two.bring(stage, 2)
        assert not first.done()
        three.leave()  # brings nothing
        assert (first.result(timeout=10), second.result(timeout=10)) == (2, 4)
    batches.close()
    assert runs == [[1, 2]]


def test_the_wait_ends():
    stage = Stage("only", recorder([]), 8)
    batches = Batcher(stage, wait=0.01)
    with batches.visit() as one, batches.visit():
        assert one.bring(stage, 1).result(timeout=10) == 2
    batches.close()


def test_a_full_batch_goes_at_once_and_no_batch_is_too_full():
    runs, gate = [], threading.Event()
    stage = Stage("only", recorder(runs, gate), 5, weigh=lambda item: item)
    batches = Batcher(stage, wait=30)
    visits = [batches.visit() for _ in range(9)]  # one of which never comes
    results = [visit.bring(stage, weight) for visit, weight in zip(visits, [2, 2, 2, 9, 1, 1, 1, 2], strict=False)]
    gate.set()
    assert [result.result(timeout=10) for result in results] == [4, 4, 4, 18, 2, 2, 2, 4]
    batches.close()
    assert runs == [[2, 2], [2], [9], [1, 1, 1, 2]]


def test_what_is_nearly_done_goes_first():
    runs, gate = [], threading.Event()
    first, last = Stage("first", recorder(runs, gate), 1), Stage("last", recorder(runs), 1)
    batches = Batcher(first, last)
    visits = [batches.visit() for _ in range(3)]
    results = [visits[0].bring(first, 1), visits[1].bring(first, 2), visits[2].bring(last, 3)]
    gate.set()
    for result in results:
        result.result(timeout=10)
    batches.close()
    assert runs[-1] == [2]


def test_only_those_at_fault_get_the_error():
    stage = Stage("only", recorder([]), 8)
    batches = Batcher(stage, wait=30)
    visits = [batches.visit() for _ in range(3)]
    one, bad, two = (visit.bring(stage, item) for visit, item in zip(visits, (1, "bad", 2), strict=True))
    assert one.result(timeout=10) == 2 and two.result(timeout=10) == 4
    with pytest.raises(ValueError, match="bad"):
        bad.result(timeout=10)
    batches.close()


def test_what_was_cancelled_is_not_run():
    runs = []
    stage = Stage("only", recorder(runs), 8)
    batches = Batcher(stage, wait=30)
    with batches.visit() as one, batches.visit() as two:
        assert one.bring(stage, 1).cancel()
        assert two.bring(stage, 2).result(timeout=10) == 4
    batches.close()
    assert runs == [[2]]


def test_closing_runs_what_waits_and_takes_nothing_more():
    stage = Stage("only", recorder([]), 8)
    batches = Batcher(stage, wait=30)
    one, two = batches.visit(), batches.visit()
    result = one.bring(stage, 1)
    batches.close()
    assert result.result(timeout=0) == 2
    with pytest.raises(RuntimeError, match="closed"):
        two.bring(stage, 2)


def test_runs_are_told():
    told = []
    stage = Stage("only", lambda items: items, 8, weigh=lambda item: item)
    batches = Batcher(stage, told=lambda *what: told.append(what))
    with batches.visit() as visit:
        visit.bring(stage, 3).result(timeout=10)
    batches.close()
    assert told[0][:2] == ("only", 3) and 0 <= told[0][2] < 10


@pytest.mark.parametrize("threads", [1, 3])
def test_many_at_once(threads):
    """Every item gets its own result, whatever it shares a run with."""
    first = Stage("first", lambda items: [item + 1 for item in items], 4)
    last = Stage("last", lambda items: [item * 10 for item in items], 6)
    batches = Batcher(first, last, wait=0.001, threads=threads)
    results = {}

    def request(n):
        with batches.visit() as visit:
            results[n] = visit.bring(last, visit.bring(first, n).result(timeout=20)).result(timeout=20)

    clients = [threading.Thread(target=request, args=(n,)) for n in range(60)]
    begun = time.monotonic()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    batches.close()
    assert results == {n: (n + 1) * 10 for n in range(60)} and time.monotonic() - begun < 20
    assert first.coming == last.coming == 0
