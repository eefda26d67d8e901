"""The tables and targets of benchmarks/RESULTS.md, from what benchmarks/speed.py measured."""
import statistics
from typing import NamedTuple, Optional

from benchmarks import contenders
from common.errors import UserError

# Task, least ratio of bf16 over the better of PyTorch's ways, least ratio of float32
# over PyTorch's, least share of the bf16 limit.
LEAST = (('training', 1.5, 1.15, 0.35), ('inference', 2.0, 1.1, 0.60))
MOST_WAIT, MOST_COST_OF_SIZES = 0.03, 1.3


class Measured(NamedTuple):
    """What was measured at one setting.

    Attributes:
      setting: dict, see `own_network.build`.
      timed: dict from name of a contender to `turns.Timed`.
      ratios: dict from name to how many times as fast as `contenders.BASE` it is, the median of
        the rounds.
    """
    setting: dict
    timed: dict
    ratios: dict


class Target(NamedTuple):
    """One target.

    Attributes:
      text: str, what it asks for.
      is_reached: bool, or None where it was not measured.
      value: str, what was measured.
      name: str, the contender that it is about, or None.
      setting: dict of the step whose profile says why it is not reached, or None.
    """
    text: str
    is_reached: Optional[bool]
    value: str
    name: Optional[str] = None
    setting: Optional[dict] = None


def operations_of(measured):
    """Returns the floating-point operations of a step, or None where no contender counted them."""
    return next((one.about['operations'] for one in measured.timed.values()
                 if 'operations' in one.about), None)


def share_of_limit(measured, name, limits):
    """Returns the share of the machine's limit in the contender's precision, or None."""
    limit = limits.get(contenders.CONTENDERS[name].precision)
    operations = operations_of(measured)
    if limit is None or operations is None:
        return None
    return operations / statistics.median(measured.timed[name].seconds) / limit


def speed_table(measured, limits):
    """Writes a table of one setting.

    Args:
      measured: `Measured`.
      limits: dict from precision to floating-point operations a second.

    Returns:
      List of str, lines.

    Raises:
      UserError: the networks have other numbers of parameters.
    """
    setting, timed, ratios = measured
    counts = {name: one.about['parameters'] for name, one in timed.items()}
    if len(set(counts.values())) > 1:
        raise UserError('Different networks were compared: %s parameters.' % counts)
    lines = ['', '### %s, batch %d, output stride %d' % (
        setting['task'].capitalize(), setting['batch_size'], setting['output_stride']), '',
        '| | images/s (slowest to fastest step) | over %s | share of the limit | peak MiB |'
        % contenders.BASE, '| --- | --- | --- | --- | --- |']
    for name, one in timed.items():
        rates = sorted(setting['batch_size'] / seconds for seconds in one.seconds)
        share = share_of_limit(measured, name, limits)
        lines.append('| %s | %.2f (%.2f to %.2f) | %s | %s | %.0f |' % (
            name, statistics.median(rates), rates[0], rates[-1],
            '%.2f' % ratios[name] if name in ratios else '',
            '' if share is None else '%.0f%%' % (100 * share), one.peak_mib))
    return lines


def sizes_table(rates):
    """Writes the table of pictures of many sizes.

    Args:
      rates: dict from name to (pictures a second of one size, of all different sizes).

    Returns:
      List of str, lines.
    """
    return ['', '### Evaluation, pictures of 150x150 pixels or as many', '',
            '| | of one size, images/s | all of different sizes, images/s | cost over one size |',
            '| --- | --- | --- | --- |'] + [
        '| %s | %.2f | %.2f | %.2f |' % (name, one, many, one / many)
        for name, (one, many) in rates.items()]


def inputs_table(rows):
    """Writes the table of the input pipeline.

    Args:
      rows: list of (name, images a second without a network or None, share of a training step
        that waits for data or None).

    Returns:
      List of str, lines.
    """
    return ['', '### Input pipeline, records of 500x375', '',
            '| | images/s without a network | of a training step waits for data |',
            '| --- | --- | --- |'] + [
        '| %s | %s | %s |' % (name, '' if rate is None else '%.1f' % rate,
                              '' if share is None else '%.1f%%' % (100 * share))
        for name, rate, share in rows]


def speed_targets(measured, limits):
    """Returns a list of `Target` of training or inference, as `Measured` at the first size."""
    found = []
    for task, bf16, fp32, least_share in LEAST:
        if task != measured.setting['task']:
            continue
        ratios = measured.ratios

        def fastest(program, precision):
            return max((name for name in ratios
                        if contenders.CONTENDERS[name].program == program
                        and contenders.CONTENDERS[name].precision == precision),
                       key=ratios.get, default=None)
        for precision, least in (('bf16', bf16), ('fp32', fp32)):
            own, other = fastest(contenders.OWN, precision), fastest(contenders.TORCH, precision)
            text = '%s in %s at least %.2f times %s' % (
                task, precision, least,
                'PyTorch' if precision == 'fp32' else "the better of PyTorch's two ways")
            found.append(_target(text, own, ratios[own] / ratios[other], least,
                                 measured.setting) if own and other else
                         Target(text, None, 'not measured'))
        text = '%s in bf16 at least %.0f%% of the bf16 limit' % (task, 100 * least_share)
        own = fastest(contenders.OWN, 'bf16')
        share = share_of_limit(measured, own, limits) if own else None
        found.append(Target(text, None, 'not measured') if share is None else
                     _target(text, own, share, least_share, measured.setting, '%.2f of it'))
    return found


def _target(text, name, value, least, setting, form='%.2f times'):
    return Target(text, value >= least, form % value, name, setting)


def other_targets(rates, rows, setting):
    """Returns a list of `Target` of pictures of many sizes and of the wait for data.

    Args:
      rates: as of `sizes_table`.
      rows: as of `inputs_table`.
      setting: dict, of the step with pictures of many sizes.
    """
    found, waits = [], [share for _, _, share in rows if share is not None]
    for name, (one, many) in rates.items():
        found.append(Target(
            'pictures of many sizes at most %.1f times the cost of one size' % MOST_COST_OF_SIZES,
            one / many <= MOST_COST_OF_SIZES, '%.2f times' % (one / many), name, setting))
    text = 'wait for data below %.0f%% of a training step' % (100 * MOST_WAIT)
    found.append(Target(text, max(waits) < MOST_WAIT, '%.1f%%' % (100 * max(waits)))
                 if waits else Target(text, None, 'not measured'))
    return found


def targets_table(targets):
    """Returns list of str, the lines of a table of `Target`."""
    words = {True: 'reached', False: 'not reached', None: ''}
    return ['', '## Targets', '', '| | measured | | by |', '| --- | --- | --- | --- |'] + [
        '| %s | %s | %s | %s |' % (target.text, target.value, words[target.is_reached],
                                   target.name or '') for target in targets]


def profile_table(title, profile):
    """Returns list of str, the lines of a table of what `traces.heaviest` returns."""
    return ['', '### Where the time goes: ' + title, '', '| operations | number | of their time |',
            '| --- | --- | --- |'] + [
        '| %s | %d | %.1f%% |' % (kind, count, 100 * share) for kind, count, share in profile]
