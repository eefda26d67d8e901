"""recipe_trials.py: labels stay on their pixels, a trial learns, and what is known is not rerun."""
import json

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is in an environment of its own')

from benchmarks import recipe_trials  # noqa: E402  where PyTorch is

TINY = dict(recipe_trials.BASE, images=16, batch_size=2, crop_size=33, rate=0.01)


def squares():
    """Images of 40x40 whose right half is white and of class 1, the left black and of class 0."""
    images = torch.zeros(4, 40, 40, 3, dtype=torch.uint8)
    images[:, :, 20:] = 255
    labels = (images[..., 0] > 0).to(torch.uint8)
    return {'train': images, 'trainannot': labels, 'val': images, 'valannot': labels}


def test_labels_stay_on_their_pixels_and_what_is_outside_is_ignored():
    torch.manual_seed(0)
    data = squares()
    images, labels = recipe_trials.augment(data['train'], data['trainannot'],
                                           dict(TINY, scales=[0.5, 2.0]))
    images = images + recipe_trials.mean_on(images.device)
    assert set(labels.unique().tolist()) == {0, 1, 255}  # small scales leave room
    sure = labels != 255
    bright = images[:, 0] > 128
    assert (bright[sure] == (labels[sure] == 1)).float().mean() > 0.97
    assert torch.allclose(images[:, 0][~sure].mean(), torch.tensor(123.68), atol=30)


def test_the_learning_rate_falls_and_adam_is_corrected():
    rates = recipe_trials.rates_of(dict(TINY, optimizer='sgd', rate=1.0, warm_up=0.5), 4)
    assert rates.tolist() == pytest.approx([0.5, 0.75 ** 0.9, 0.5 ** 0.9, 0.25 ** 0.9])
    first = recipe_trials.rates_of(dict(TINY, rate=1.0), 4)[0]
    assert float(first) == pytest.approx(0.001 ** 0.5 / 0.1)


def test_a_trial_is_kept_and_not_run_again(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / 'trials.jsonl')
    monkeypatch.setattr(recipe_trials, 'BASE', TINY)
    book = recipe_trials.Book(path, squares(), 2, 'cpu', 60)
    score = book.score({}, 1)
    entry, = recipe_trials.entries_of(path)
    assert entry['mean_iou'] == pytest.approx(score, abs=1e-4) and entry['seed'] == 0
    late = recipe_trials.Book(path, squares(), 2, 'cpu', -1)
    assert late.score({}, 1) == entry['mean_iou']
    with pytest.raises(TimeoutError):
        late.score({'flip': False}, 1)
    with open(path, 'a') as trials:
        trials.write(json.dumps(dict(entry, setting=dict(TINY, flip=False), mean_iou=1.0)) + '\n')
    capsys.readouterr()
    recipe_trials.table(path)
    assert capsys.readouterr().out.splitlines()[2].startswith('| flip False | 1.000 | +')
