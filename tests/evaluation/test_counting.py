"""What workers count of images comes to the chief in the order of the split."""
import collections

import numpy as np
import pytest

from evaluation import counting
from runtime import workers


class Group(workers.Alone):
    """Some workers of which one runs here; what the others sent is there already."""

    def __init__(self, rank, sent):
        self.rank, self.count, self.is_chief = rank, len(sent), rank == 0
        self.channel, self._sent = self, sent

    def send(self, rank, content):
        assert rank == 0
        self._sent[self.rank].append(content)

    def receive(self, rank):
        return self._sent[rank].popleft()


def gathered(num_examples, num_workers, num_counted, is_stopped=(False,) * 3):
    """Has workers count so many images each, the chief last; returns (names, its answer)."""
    names, sent = [], [collections.deque() for _ in range(num_workers)]
    for rank in reversed(range(num_workers)):
        gathering = counting.Gathering(
            Group(rank, sent), num_examples, lambda counted: names.append(int(counted['name'])))
        assert gathering.num_own == len(range(rank, num_examples, num_workers))
        for index in range(num_counted[rank]):
            gathering.take({'name': np.array(rank + num_workers * index)})
        answer = gathering.finish(is_stopped[rank])
    assert not any(sent)
    return names, answer


@pytest.mark.parametrize('num_examples', [1, 2, 6, 7, 8])
def test_images_come_in_the_order_of_the_split(num_examples):
    for num_workers in (1, 2, 3):
        counts = [len(range(rank, num_examples, num_workers)) for rank in range(num_workers)]
        assert gathered(num_examples, num_workers, counts) == (list(range(num_examples)), True)


def test_an_evaluation_that_one_breaks_off_is_not_through_on_any():
    assert gathered(9, 3, [3, 1, 3], (False, True, False))[1] is False
    assert gathered(9, 3, [1, 3, 3], (True, False, False))[1] is False
