"""Compares two runs on the same split: is the second better, where, and how sure is that?

    python evaluation/compare.py runs/first runs/second
    python evaluation/compare.py runs/first/results_test runs/first/results_test_8 \\
        --output_dir compared

Takes runs, checkpoints, and folders that test.py wrote. Of a run, what test.py wrote for this
checkpoint is used; where there is nothing, it is scored first, at one scale. Prints the difference
of the mean IoU and of each class with their 95% intervals over images (paired bootstrap), and
writes compare.html with the images that changed most.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing
from common import command_line, files, html, scripts  # noqa: E402
from common.errors import UserError  # noqa: E402
from dataset import descriptor  # noqa: E402
from evaluation import (contrast, contrast_report, examples, results,  # noqa: E402
                        whole_split)
from evaluation.scores import BENCHMARK_DEFINITION  # noqa: E402
from experiment import loading  # noqa: E402
from inference import options  # noqa: E402
from runtime.devices import set_up  # noqa: E402

PAGE_NAME, SPLIT = 'compare.html', 'test'


def parse_flags(argv=None):
    """Parses the flags of `compare.py`."""
    parser = command_line.Parser(__doc__)
    parser.add_argument('runs', nargs=2, metavar='RUN',
                        help='run directory (its best checkpoint), checkpoint, or results folder')
    parser.add_argument('--split',
                        help='of runs (default: that of results given beside, or %s)' % SPLIT)
    parser.add_argument('--dataset_dir', help="of runs (default: each run's own)")
    parser.add_argument('--output_dir', default='compared', help='default: %(default)s')
    options.add_gpu_flags(parser)
    return parser.parse_args(argv)


def results_of(path, flags, split):
    """Finds the folder of results that a path means.

    Returns:
      (folder, its scores.json or what will be in it that `contrast.check_alike` compares, None or
      a function that scores the run, which has none yet).

    Raises:
      UserError: results of another split than is asked for, or what `whole_split.data_set` raises.
    """
    if _is_results(path):
        scores = contrast.load(path)
        if flags.split not in (None, scores['split']):
            raise UserError('--split %s: %s holds results of the split "%s". Leave the flag out, '
                            'or give the run in its place.' % (flags.split, path, scores['split']))
        return path, scores, None
    run = loading.load_run(path)
    dataset_dir, info = whole_split.data_set(run, flags.dataset_dir, split)
    usual = os.path.join(run.run_dir, 'results_' + split)
    own = '%s_%s' % (usual, os.path.basename(run.checkpoint))
    about = results.about_data(info, dataset_dir)
    for folder in (usual, own):
        if _is_of(folder, run, about):
            return folder, contrast.load(folder), None
    will_be = {'split': split, 'data': about, 'benchmark': {'definition': BENCHMARK_DEFINITION}}
    return own, will_be, lambda: whole_split.score(
        run, dataset_dir, info, split, own, with_post_scores=False)


def _is_results(path):
    return os.path.exists(os.path.join(path, results.SCORES_NAME))


def _is_of(folder, run, about):
    """Whether a folder holds results of a run's checkpoint, newer than it, on the same data."""
    path = os.path.join(folder, results.SCORES_NAME)
    if not os.path.exists(path) or (os.path.getmtime(path)
                                    < os.path.getmtime(run.checkpoint + '.index')):
        return False
    scores = files.read_json(path)
    return (os.path.basename(scores['checkpoint']) == os.path.basename(run.checkpoint)
            and scores['output_stride'] == run.args.output_stride
            and scores.get('data', {}).get('fingerprint') == about['fingerprint'])


def compare(flags):
    """Compares the two, prints the table and writes the page."""
    print(set_up(flags), flush=True)
    given = [contrast.load(path)['split'] for path in flags.runs if _is_results(path)]
    split = flags.split or (given + [SPLIT])[0]
    folders, abouts, missing = zip(*[results_of(path, flags, split) for path in flags.runs])
    contrast.check_classes(folders, [about['data']['class_names'] for about in abouts])
    contrast.check_alike(folders, abouts)
    for score in filter(None, missing):
        score()
    scores = [contrast.load(folder) for folder in folders]
    dataset_dir = flags.dataset_dir or scores[0]['data']['dataset_dir']
    info = descriptor.load(dataset_dir)
    split_examples = examples.read(info, dataset_dir, scores[0]['split'])
    pairs = contrast.read(folders, scores, split_examples, info)
    differences = contrast.bootstrap(pairs.image_counts)
    print(contrast_report.as_text(folders, scores, differences, info))
    os.makedirs(flags.output_dir, exist_ok=True)
    page = os.path.join(flags.output_dir, PAGE_NAME)
    html.write(contrast_report.as_html(folders, scores, differences, pairs, info), page)
    print('Report: ' + page)


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        compare(flags)


if __name__ == '__main__':
    main()
