"""recipes.py: what the recipes for own images make of data, memory, weights and steps."""
from argparse import Namespace

import pytest

from experiment import recipes


def facts(**changes):
    values = dict(num_images=367, size=(360, 480), memory=64.0, num_workers=1, start={})
    return recipes.Facts(**dict(values, **changes))


def value(recipe, name, seen=None, **flags):
    flags = dict(dict(batch_size=8, crop_size=513, output_stride=16, resnet_model='resnet_v2_50',
                      max_steps=1000, init_from='random'), **flags)
    return recipes.RECIPES[recipe][name](seen or facts(), Namespace(**flags))


@pytest.mark.parametrize('recipe, size, crop', [
    ('scratch', (360, 480), 257),   # three quarters are 270
    ('scratch', (480, 360), 257),
    ('scratch', (1024, 2048), 513),
    ('scratch', (24, 30), 33),      # smaller images are padded
    ('finetune', (360, 480), 353),
    ('finetune', (375, 500), 353)])
def test_crops_follow_the_shorter_side_of_the_images(recipe, size, crop):
    assert value(recipe, 'crop_size', facts(size=size)) == crop


@pytest.mark.parametrize('memory, flags, parts', [
    (None, {}, 1), (9.0, {}, 1), (8.5, {}, 2), (5.0, {}, 4), (1.0, {}, 8),
    (8.5, {'crop_size': 257}, 1), (9.0, {'output_stride': 8}, 4),
    (9.0, {'resnet_model': 'resnet_v2_101'}, 2)])
def test_the_batch_comes_in_as_many_parts_as_the_memory_asks_for(memory, flags, parts):
    assert value('scratch', 'accumulate_steps', facts(memory=memory), **flags) == parts


def test_parts_divide_among_the_workers():
    # 8 in 3 parts would fit, 8 in 8 parts is no batch of two workers.
    seen = facts(memory=1.0, num_workers=2)
    assert value('scratch', 'accumulate_steps', seen) == 4


@pytest.mark.parametrize('recipe, images, steps', [
    ('scratch', 367, 4588), ('scratch', 30, 1000), ('scratch', 10000, 30000),
    ('finetune', 367, 1835), ('finetune', 20, 400)])
def test_steps_are_passes_but_not_too_few_or_many(recipe, images, steps):
    assert value(recipe, 'max_steps', facts(num_images=images)) == steps


@pytest.mark.parametrize('steps, warmup, batch_norm, evaluations', [
    (100, 5, 0.9, 10), (1000, 50, 0.98, 100), (30000, 500, 0.9993, 3000), (5, 0, 0.9, 1)])
def test_what_lasts_a_share_of_the_run_follows_the_steps(steps, warmup, batch_norm, evaluations):
    found = [value('finetune', name, max_steps=steps) for name in (
        'warmup_steps', 'batch_norm_decay', 'eval_every_steps')]
    assert found == [warmup, batch_norm, evaluations]


def test_finetuning_takes_images_as_the_weights_know_them():
    assert value('finetune', 'input_normalization') == 'mean'
    seen = facts(start={'input_normalization': 'inception', 'aspp_relu': True})
    assert value('finetune', 'input_normalization', seen) == 'inception'
    assert value('finetune', 'aspp_relu', seen) is True
    assert value('finetune', 'aspp_relu') is False
