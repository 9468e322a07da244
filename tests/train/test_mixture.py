"""Draws: a function of seed and number, everyone once a pass, exact shares."""

import numpy as np
import pytest

from wholebody.errors import WholebodyError
from wholebody.train.data.people import LabelledPerson, Mixture


class Numbered:
    """People who are known by a number, in `source`."""

    def __init__(self, count, first=0):
        self.count, self.first = count, first

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        nothing = np.zeros(0)
        return LabelledPerson(nothing, nothing, nothing, nothing, str(self.first + index))


def test_draws_depend_on_seed_and_number_alone():
    for shares in ((1.0, 3.0), (0.0, 0.0)):
        mixture, same = (Mixture([(Numbered(5), shares[0]), (Numbered(7, 5), shares[1])], seed=4) for _ in range(2))
        order = [mixture.draw(n)[0].source for n in range(40)]
        assert order == [same.draw(n)[0].source for n in reversed(range(40))][::-1]
        assert mixture.draw(17)[1].random() == same.draw(17)[1].random()
        other = Mixture(mixture.sets, seed=5)
        assert order != [other.draw(n)[0].source for n in range(40)]


def test_without_shares_an_epoch_is_a_permutation_of_all():
    mixture = Mixture([(Numbered(30), 0.0), (Numbered(70, 30), 0.0)], seed=1)
    epochs = [[int(mixture.draw(n)[0].source) for n in range(100 * e, 100 * (e + 1))] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == [*range(100)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_shares_are_exact_and_a_set_is_drawn_without_replacement():
    mixture = Mixture([(Numbered(900), 0.3), (Numbered(40, 900), 0.7)], seed=2)
    drawn = np.array([which * 900 + row for which, row in map(mixture.row, range(20_000))])
    first, second = drawn[drawn < 900], drawn[drawn >= 900]
    assert len(first) == 6_000 and len(second) == 14_000
    for part, count in ((first, 900), (second, 40)):
        for start in range(0, len(part) - count, count):
            assert len(set(part[start : start + count].tolist())) == count


def test_another_attempt_is_somebody_else_of_the_same_set():
    mixture = Mixture([(Numbered(50), 0.5), (Numbered(50, 50), 0.5)], seed=3)
    for n in range(20):
        names = [int(mixture.draw(n, attempt)[0].source) for attempt in range(4)]
        assert len(set(names)) > 1 and len({name // 50 for name in names}) == 1
        assert names == [int(mixture.draw(n, attempt)[0].source) for attempt in range(4)]


@pytest.mark.parametrize("name", ["coco:a.json", "ubody:UBody@0", "ubody:UBody@x", "coco:a:b:c:d", "best:a"])
def test_what_is_no_data_set(name):
    from wholebody.train.config import DataSource, parse_source

    if name == "coco:a.json":
        assert parse_source("ubody:data/UBody@10:frames=0.2") == DataSource(
            "ubody", "data/UBody", "frames", "", 10, 0.2
        )
        assert parse_source("coco:a.json:b:c.json") == DataSource("coco", "a.json", "b", "c.json")
        return
    with pytest.raises(WholebodyError, match="is not a data set"):
        parse_source(name)
