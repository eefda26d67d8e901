"""scores.py: what test.py prints."""
import numpy as np

import metrics
from evaluation import scores


def test_report_names_each_class_and_the_scores_in_both_definitions():
    found = metrics.scores([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    text = scores.as_text(found, ('ground', 'cat', 'dog'), (0.7, 0.71),
                          np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.5, 0.6]]), 513)
    lines = [line.rsplit(None, 1) for line in text.splitlines()]
    assert lines[:3] == [['ground', '0.7500'], ['cat', '0.6667'], ['dog', 'absent']]
    assert set(lines[3][0]) == {'-'}
    texts = text.splitlines()
    assert texts[4].startswith('Benchmark: one confusion matrix')
    assert lines[5:7] == [['pixel accuracy', '0.8333'], ['mean accuracy', '0.8750']]
    assert texts[7].split() == 'mean IoU 0.7083 (95% interval over images: 0.7000 to ' \
                               '0.7100)'.split()
    assert lines[8] == ['frequency-weighted IoU', '0.7222']
    assert texts[9].startswith('Post: means over images') and '513x513' in texts[9]
    assert lines[10:] == [['pixel accuracy', '0.2000'], ['mean accuracy', '0.3000'],
                          ['mean IoU', '0.4000'], ['frequency-weighted IoU', '0.5000']]


def test_report_aligns_its_numbers_behind_the_longest_class_name():
    name = 'a class with a rather long name'
    lines = scores.as_text(metrics.scores([[1, 0], [0, 1]]), (name, 'b')).splitlines()
    numbers = [line for line in lines if line.endswith('1.0000')]
    assert len(numbers) == 6 and len({len(line) for line in numbers}) == 1
    assert lines[0] == name + ' 1.0000'
