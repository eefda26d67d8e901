"""Tries training settings from random weights on a GPU, to choose a recipe by what they score.

    python benchmarks/recipe_trials.py --data camvid.npz --output trials.jsonl --seeds 0 1 2
    python benchmarks/recipe_trials.py --table --output trials.jsonl

A run of train.py takes an hour on a CPU; a trial of the same network in PyTorch takes seconds on a
large GPU. --data is what benchmarks/pack_pairs.py wrote. Each trial is a line of --output when it
is over, and is not run again: the same command goes on after a stop. All settings are tried with
the first seed before any is with the second.

Needs PyTorch and NumPy, and neither TensorFlow nor Pillow.
"""
import collections
import difflib
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing import connection

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch  # noqa: E402

from benchmarks import packed_pairs, torch_training  # noqa: E402
from benchmarks.torch_distortions import to_device  # noqa: E402
from common import command_line, scripts  # noqa: E402
from common.errors import UserError  # noqa: E402

# What settings are differences from, beside the defaults of `torch_training.Setting`.
BASES = {
    'camvid': {},
    # Of `make demo`.
    'shapes': dict(starting_learning_rate=0.001, num_images=2560, batch_size=16, crop_size=113,
                   min_scale=0.75, max_scale=1.5, batch_norm_decay=0.9, l2_regularizer=1e-5),
}
_MOMENTUM = [dict(optimizer='momentum', starting_learning_rate=rate) for rate in (0.05, 0.01, 0.1)]
# The most important first.
LISTS = {
    'camvid': [
        {}, dict(starting_learning_rate=0.001), dict(starting_learning_rate=0.00025),
        dict(min_scale=0.75, max_scale=1.5), dict(aspp_relu=True), dict(zero_residual=True),
        dict(batch_size=4), dict(batch_norm_decay=0.95), dict(color_jitter=True),
        dict(ema_decay=0.99), dict(class_weights='median_frequency'), dict(crop_size=321),
        _MOMENTUM[0], dict(starting_learning_rate=0.002), dict(min_scale=0.5, max_scale=1.5),
        dict(batch_size=16), dict(label_smoothing=0.1), dict(l2_regularizer=1e-5),
        dict(l2_regularizer=5e-4), dict(crop_size=193), dict(learning_rate_policy='cosine'),
        dict(warmup_fraction=0.05), dict(batch_norm_decay=0.9), dict(batch_norm_decay=0.997),
        dict(ema_decay=0.999), dict(clip_norm=1.0), _MOMENTUM[1], _MOMENTUM[2],
        dict(crop_size=353), dict(logits_std=0.01), dict(hard_example_fraction=0.5),
        dict(random_flip=False), dict(l2_regularizer=0.0), dict(output_stride=8),
        dict(num_images=20500)],
    'camvid_combined': [
        {}] + [dict(dict(aspp_relu=True, zero_residual=True), **more) for more in (
            {}, dict(ema_decay=0.99), dict(warmup_fraction=0.05, ema_decay=0.99),
            dict(batch_size=4, ema_decay=0.99),
            dict(min_scale=0.75, max_scale=1.5, ema_decay=0.99),
            dict(starting_learning_rate=0.001, warmup_fraction=0.05, ema_decay=0.99),
            dict(starting_learning_rate=0.001, batch_size=4, warmup_fraction=0.05,
                 ema_decay=0.99),
            dict(class_weights='median_frequency', ema_decay=0.99),
            dict(crop_size=321, ema_decay=0.99),
            dict(label_smoothing=0.1, learning_rate_policy='cosine', ema_decay=0.99),
            dict(_MOMENTUM[0], warmup_fraction=0.05, ema_decay=0.99),
            dict(num_images=20500, ema_decay=0.99))],
    'shapes': [
        {}, dict(aspp_relu=True), dict(zero_residual=True), dict(ema_decay=0.99),
        dict(color_jitter=True), dict(starting_learning_rate=0.0005), dict(batch_size=8),
        dict(starting_learning_rate=0.002), dict(batch_norm_decay=0.99),
        dict(min_scale=0.5, max_scale=2.0), dict(warmup_fraction=0.05),
        dict(aspp_relu=True, zero_residual=True, ema_decay=0.99), dict(l2_regularizer=1e-4),
        dict(class_weights='median_frequency'), dict(crop_size=161), dict(num_images=9312)],
}
CHOICES = {'optimizer': ('adam', 'momentum'), 'output_stride': (8, 16),
           'learning_rate_policy': ('constant', 'poly', 'cosine'),
           'class_weights': ('none', 'median_frequency')}

MOST_FAILED = 10  # processes, before the rest is given up

# base: of `BASES`. changes: dict, the differences from it. seed: int.
Task = collections.namedtuple('Task', ['base', 'changes', 'seed'])


def setting_of(base, changes):
    """Returns the `torch_training.Setting` of the differences from a base.

    Raises:
      UserError: there is no such setting, or no such value of it.
    """
    known = torch_training.Setting._fields
    for name, value in changes.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1) or known
            raise UserError('%s is no setting; the nearest: %s.' % (name, ', '.join(nearest)))
        if value not in CHOICES.get(name, (value,)):
            raise UserError('%s %r: give one of %s.' % (name, value, ', '.join(
                map(str, CHOICES[name]))))
    return torch_training.Setting(**dict(BASES[base], **changes))


def read_list(choice):
    """Returns (str, the base; list of dict, the settings) of a name in `LISTS`, or of a file.

    Raises:
      UserError: it is neither.
    """
    if choice in LISTS:
        return choice.split('_')[0], LISTS[choice]
    try:
        with open(choice, encoding='utf-8') as handle:
            (base, settings), = json.load(handle).items()
        if base in BASES and all(isinstance(changes, dict) for changes in settings):
            return base, settings
    except (OSError, ValueError, AttributeError, TypeError) as error:
        problem = error
    else:
        problem = 'no base %r' % base
    raise UserError('--list %s (%s): give one of %s, or a file such as {"camvid": [{"crop_size": '
                    '321}, {"optimizer": "momentum", "starting_learning_rate": 0.05}]}.'
                    % (choice, problem, ', '.join(LISTS)))


def key_of(base, changes, seed):
    """Returns str, the same for the same trial, however its setting is written."""
    return json.dumps([base, setting_of(base, changes), seed])


def entries_of(path):
    """Returns the lines of --output as dicts; the last one of a killed run may lack its end."""
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as handle:
        return [json.loads(line) for line in handle if line.endswith('\n')]


def serve(data, output, tasks, together, next_task, end):
    """A process that takes trials from a list until it is empty, or the time is over.

    Args:
      data, output: str, as the flags.
      tasks: list of `Task`.
      together: int, trials that share the device step by step.
      next_task: `multiprocessing.Value`, the number of tasks that were taken.
      end: float, seconds as of `time.time`: no trial begins that would probably last longer.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    packed = packed_pairs.load(data)
    train, validation = [to_device(pairs, device) for pairs in (packed.train, packed.validation)]
    num_classes, longest = len(packed.class_names), 0.0
    while time.time() + longest < end:
        with next_task.get_lock():
            taken = tasks[next_task.value:next_task.value + together]
            next_task.value += len(taken)
        if not taken:
            return
        start, trials = time.time(), []
        for task in taken:
            setting = setting_of(task.base, task.changes)
            weights = (packed.class_weights if setting.class_weights == 'median_frequency'
                       else [1.0] * num_classes)
            trials.append(torch_training.Trial(
                setting, task.seed, train, num_classes,
                torch.tensor(weights, dtype=torch.float32, device=device)))
        results = torch_training.run_together(trials, validation)
        for task, (mean_iou, loss) in zip(taken, results):
            write_entry(output, dict(
                task._asdict(), data=os.path.basename(data), mean_iou=round(mean_iou, 4),
                loss=round(loss, 4) if math.isfinite(loss) else None,
                seconds=round((time.time() - start) / len(taken), 1), torch=torch.__version__,
                device=torch.cuda.get_device_name() if device.type == 'cuda' else 'cpu'))
        longest = max(longest, time.time() - start)
        del trials, results
        if device.type == 'cuda':
            torch.cuda.empty_cache()  # what the graphs held


def write_entry(output, entry):
    """Appends a line of JSON to --output, whole, and prints it."""
    line = json.dumps(entry)
    with open(output, 'a', encoding='utf-8') as handle:
        handle.write(line + '\n')
    print(line, flush=True)


def run(args, tasks):
    """Tries all tasks in `args.processes` processes.

    One that fails is replaced, and the trials that it had begun are left for another run.

    Raises:
      UserError: one failed.
    """
    context = multiprocessing.get_context('spawn')
    next_task = context.Value('q', 0)
    end = time.time() + 60 * args.minutes
    failed, running = 0, []
    num_wanted = min(args.processes, -(-len(tasks) // args.together))
    while True:
        while (len(running) < num_wanted and next_task.value < len(tasks)
               and time.time() < end and failed < MOST_FAILED):
            running.append(context.Process(target=serve, args=(
                args.data, args.output, tasks, args.together, next_task, end)))
            running[-1].start()
        if not running:
            break
        connection.wait([process.sentinel for process in running])
        for process in [process for process in running if not process.is_alive()]:
            running.remove(process)
            failed += process.exitcode != 0
            num_wanted -= process.exitcode == 0
    num_left = len(tasks_left(args, tasks))
    if failed:
        raise UserError('%d processes failed, see above; %d of %d trials are left, and the same '
                        'command tries them.' % (failed, num_left, len(tasks)))
    print('%d of %d trials are left%s.' % (num_left, len(tasks), ', and the same command goes on'
                                           if num_left else ''), flush=True)


def tasks_left(args, tasks):
    """Returns those of a list of `Task` that have no line in --output."""
    finished = {key_of(*[entry[name] for name in Task._fields])
                for entry in entries_of(args.output)}
    return [task for task in tasks if key_of(*task) not in finished]


def tables(entries):
    """Returns text: for each base its settings, the best first, in Markdown.

    The difference from the base is that of the seeds that both were tried with.

    Args:
      entries: list of dict, the lines of --output.
    """
    scores = {}  # by base, setting and seed
    for entry in entries:
        by_setting = scores.setdefault(entry['base'], {})
        changes = json.dumps(entry['changes'], sort_keys=True)
        by_setting.setdefault(changes, {})[entry['seed']] = entry['mean_iou']
    text = ''
    for base, by_setting in scores.items():
        text += ('\n| %s | mean mIoU | lowest to highest | over the base | seeds |\n'
                 '| --- | --- | --- | --- | --- |\n' % base)
        of_base = by_setting.get('{}', {})
        for changes, by_seed in sorted(by_setting.items(),
                                       key=lambda pair: -statistics.mean(pair[1].values())):
            gains = [by_seed[seed] - of_base[seed] for seed in by_seed if seed in of_base]
            text += '| %s | %.3f | %.3f to %.3f | %s | %d |\n' % (
                ', '.join('%s %s' % pair for pair in json.loads(changes).items()) or 'base',
                statistics.mean(by_seed.values()), min(by_seed.values()), max(by_seed.values()),
                '%+.3f' % statistics.mean(gains) if gains and changes != '{}' else '',
                len(by_seed))
    return text


def parse(argv=None):
    parser = command_line.Parser(__doc__)
    parser.add_argument('--output', required=True, help='a line of JSON for each trial')
    parser.add_argument('--table', action='store_true', help='print what --output holds, run none')
    parser.add_argument('--data', help='what benchmarks/pack_pairs.py wrote')
    parser.add_argument('--list', default='camvid',
                        help='%s, or a JSON file {BASE: [{setting: value}, ...]}'
                             ' (default %%(default)s)' % ', '.join(LISTS))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='(default 0)')
    parser.add_argument('--processes', type=int, default=2,
                        help='of which one sets trials up while others train (default 2)')
    parser.add_argument('--together', type=int, default=3,
                        help='trials of a process that share the GPU step by step (default 3)')
    parser.add_argument('--minutes', type=float, default=math.inf,
                        help='no trial begins that would probably end later (default: no limit)')
    args = parser.parse_args(argv)
    if not args.table and not args.data:
        parser.error('give --data FILE, or --table')
    return args


def main(argv=None):
    args = parse(argv)
    with scripts.ending_in_one_message():
        if args.table:
            print(tables(entries_of(args.output)))
            return
        base, settings = read_list(args.list)
        tasks = [Task(base, changes, seed) for seed in args.seeds for changes in settings]
        left = tasks_left(args, tasks)
        print('%d trials, of which %d are done.' % (len(tasks), len(tasks) - len(left)),
              flush=True)
        packed_pairs.load(args.data)
        run(args, left)


if __name__ == '__main__':
    main()
