"""compare.py: what is scored, what is used again, what is refused."""
import importlib.util
import os
import shutil
import test

import pytest

from common import files
from dataset import descriptor
from evaluation import whole_split
from tests.helpers import ROOT, tiny_runs

spec = importlib.util.spec_from_file_location(
    'compare', os.path.join(ROOT, 'evaluation', 'compare.py'))
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)


@pytest.fixture(scope='module')
def runs(shapes_dir, tmp_path_factory):
    """Two runs of the same weights; the first was scored by test.py, mirrored too."""
    folder = tmp_path_factory.mktemp('runs')
    first, second = str(folder / 'first'), str(folder / 'second')
    with tiny_runs.tiny_network():
        os.mkdir(first)
        tiny_runs.write_run(first, shapes_dir)
        shutil.copytree(first, second)
        test.main(['--checkpoint', first, '--flip', '--no_post_scores'])
        yield first, second


@pytest.fixture
def scored(monkeypatch):
    """List of the runs that were scored since."""
    found, real = [], whole_split.score

    def score(run, *args, **options):
        found.append(run.run_dir)
        return real(run, *args, **options)
    monkeypatch.setattr(whole_split, 'score', score)
    return found


def test_only_what_has_no_results_is_scored_and_the_difference_is_that_of_the_scores(
        runs, scored, tmp_path, capsys):
    compare.main(list(runs) + ['--output_dir', str(tmp_path)])
    assert scored == [runs[1]]
    own = os.path.join(runs[1], 'results_test_model.ckpt-%d' % tiny_runs.STEP)
    first, second = (files.read_json(os.path.join(folder, 'scores.json'))['benchmark']
                     for folder in (os.path.join(runs[0], 'results_test'), own))
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines()
                if line.startswith('mean IoU ') and 'images' not in line)
    assert line.split()[2:5] == ['%.4f' % first['mean_iou'], '%.4f' % second['mean_iou'],
                                 '%+.4f' % (second['mean_iou'] - first['mean_iou'])]
    assert 'scales 1, flip (' in out
    page = (tmp_path / 'compare.html').read_text(encoding='utf-8')
    assert line.split()[4] in page and page.count('src="data:image/jpeg') % 2 == 0
    # Again: there is nothing left to score; and folders of results do as well.
    compare.main([os.path.join(runs[0], 'results_test'), runs[1], '--output_dir', str(tmp_path)])
    assert scored == [runs[1]]
    assert line in capsys.readouterr().out
    # Older than the checkpoint: of one that was there before.
    os.utime(os.path.join(own, 'scores.json'), (1, 1))
    compare.main(list(runs) + ['--output_dir', str(tmp_path)])
    assert scored == [runs[1]] * 2


def test_other_classes_are_refused_before_anything_is_scored(runs, scored, tmp_path):
    folder, run = str(tmp_path / 'results'), str(tmp_path / 'run')
    shutil.copytree(os.path.join(runs[0], 'results_test'), folder)
    shutil.copytree(runs[1], run, ignore=shutil.ignore_patterns('results*'))
    path = os.path.join(folder, 'scores.json')
    written = files.read_json(path)
    written['data']['class_names'] = ['a', 'b']
    files.write_json(written, path)
    with pytest.raises(SystemExit, match='their class names differ: .*Give two of the same'):
        compare.main([folder, run])
    assert scored == []


def test_a_run_is_scored_on_the_split_of_the_results_beside_it(runs, scored, tmp_path):
    results, run = str(tmp_path / 'results'), str(tmp_path / 'run')
    shutil.copytree(runs[1], run, ignore=shutil.ignore_patterns('results*'))
    test.main(['--checkpoint', runs[0], '--no_post_scores', '--split', 'validation',
               '--output_dir', results])
    del scored[:]
    compare.main([run, results, '--output_dir', str(tmp_path)])
    assert scored == [run]
    assert [name for name in os.listdir(run) if name.startswith('results')] == [
        'results_validation_model.ckpt-%d' % tiny_runs.STEP]


def test_other_data_are_refused_before_anything_is_scored(runs, scored, shapes_dir, tmp_path):
    data, run = str(tmp_path / 'data'), str(tmp_path / 'run')
    shutil.copytree(shapes_dir, data)
    info = descriptor.load(data)
    descriptor.save(info._replace(ignore_label=254), data)
    shutil.copytree(runs[1], run, ignore=shutil.ignore_patterns('results*'))
    results = os.path.join(runs[0], 'results_test')
    with pytest.raises(SystemExit, match='their ignore label differ: 255 and 254'):
        compare.main([results, run, '--dataset_dir', data])
    assert scored == []


def test_another_split_than_that_of_the_results_is_refused(runs, tmp_path):
    folder = os.path.join(runs[0], 'results_test')
    with pytest.raises(SystemExit, match='--split train: .* of the split "test". Leave the flag'):
        compare.main([folder, folder, '--split', 'train', '--output_dir', str(tmp_path)])


def test_results_of_two_splits_are_refused(runs, tmp_path):
    test.main(['--checkpoint', runs[1], '--no_post_scores', '--split', 'validation',
               '--output_dir', str(tmp_path)])
    with pytest.raises(SystemExit, match='cannot be compared, their split differ: test and valid'):
        compare.main([os.path.join(runs[0], 'results_test'), str(tmp_path)])
