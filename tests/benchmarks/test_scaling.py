"""The expected scaling is that of its formula, and the page shows what the script prints."""
import os
import re

import pytest

from benchmarks import scaling
from experiment import train_flags
from tests.helpers import ROOT


def test_a_ring_moves_its_part_of_the_gradients_and_waits_for_each_message():
    # Two: each sends and receives the whole buffer once, in halves.
    assert scaling.seconds_of_sum(4e9, 2, 1e9, 0) == pytest.approx(4)
    assert scaling.seconds_of_sum(4e9, 4, 1e9, 0.5) == pytest.approx(6 + 6 * 0.5)


def test_gradients_are_counted_without_variables_that_nothing_uses(tiny_backbone):
    args = train_flags.parse(['--resnet_model', tiny_backbone, '--crop_size', '33'])
    args.number_of_classes = 3
    few = scaling.count_gradients(args)
    args.number_of_classes = 5
    # The logits' kernel has 256 inputs, and a bias, for each class.
    assert scaling.count_gradients(args) - few == 2 * 257


def test_the_page_shows_the_tables_of_its_number_of_gradients():
    with open(os.path.join(ROOT, 'docs', 'scaling.md'), encoding='utf-8') as page_file:
        page = page_file.read()
    count = int(re.search(r'([\d,]+) gradients', page).group(1).replace(',', ''))
    assert 55e6 < count < 65e6  # ResNet-101 alone has 42.5 million
    for num_images in scaling.IMAGES:
        assert '\n'.join(scaling.table(count, num_images)) in page
