"""Weights out of checkpoints: what fits a network, and the one way to restore it."""
import contextlib
import functools
import re
from collections import namedtuple

from common.errors import UserError
from common.http import DownloadError
from common.interpreter import command
from dataset import descriptor
from experiment import checkpoints, config, loading, recipes
from network import HEAD_SCOPE, LOGITS_SCOPE
from resnet import imagenet
from runtime import slim, tf
from runtime.devices import session_config

AVERAGED = '/ExponentialMovingAverage'
_EXAMPLES_SHOWN = 5

# Lists of variable names: in the network and the checkpoint; only in the network; only in
# the checkpoint; in both with different shapes.
Comparison = namedtuple('Comparison', ['matched', 'missing', 'unused', 'reshaped'])


def averaged_names(variables):
    """Maps the names under which --ema_decay keeps averages to the variables they are of."""
    return {variable.op.name + AVERAGED: variable for variable in variables}


def is_averaged(prefix):
    """Whether a checkpoint holds the averages of --ema_decay beside the weights."""
    return any(name.endswith(AVERAGED) for name in stored_shapes(prefix))


def saver_of(variables, averaged):
    """Returns the `tf.train.Saver` of what an evaluation reads: the averages, or the weights."""
    return tf.train.Saver(averaged_names(variables) if averaged else variables)


def saver_for(prefix, variables):
    """`saver_of` for a checkpoint, which must hold all the variables.

    Args:
      prefix: str.
      variables: list of variables.

    Raises:
      UserError: some are missing or have another shape; says which, and a likely cause.
    """
    averaged = is_averaged(prefix)
    check_complete(prefix, averaged_names(variables) if averaged
                   else {variable.op.name: variable for variable in variables})
    return saver_of(variables, averaged)


@contextlib.contextmanager
def restored_session(graph, saver, prefix):
    """Opens a session on a network with the weights of a checkpoint, to evaluate or predict.

    Args:
      graph: `tf.Graph`, which is finalized.
      saver: `tf.train.Saver` of `saver_of` or `saver_for`, made in that graph.
      prefix: str.

    Yields:
      `tf.Session`, which is closed at the end.

    Raises:
      UserError: the checkpoint is damaged.
    """
    graph.finalize()
    # Not entered: it would be the default of whatever runs meanwhile.
    with contextlib.closing(tf.Session(graph=graph, config=session_config())) as session:
        restore(saver, session, prefix)
        yield session


def restore(saver, session, prefix):
    """`saver.restore` with an error that names the file.

    What a network is made of is read beforehand: a restore writes lines of its own about damaged
    data, and takes NaN for a weight as any other.

    Args:
      saver: `tf.train.Saver`, of variables that the checkpoint holds.
      session: `tf.Session` on the graph of the network.
      prefix: str.

    Raises:
      UserError: the checkpoint's data are damaged or cut short, or not finite.
    """
    with session.graph.as_default():
        model = {variable.op.name for variable in slim.get_model_variables()}
    problem = checkpoints.problem_of(prefix, [
        name for name in stored_shapes(prefix)
        if (name[:-len(AVERAGED)] if name.endswith(AVERAGED) else name) in model])
    if problem:
        again = '' if problem.endswith(checkpoints.NOT_FINITE) else ', or copy it again'
        raise UserError('%s is damaged: %s. Give another checkpoint%s.' % (prefix, problem, again))
    with checkpoints.plainly_named(prefix) as plain:
        saver.restore(session, plain)


def check_complete(prefix, variables):
    """Makes sure that a checkpoint has all variables of a network.

    Args:
      prefix: str.
      variables: dict from name in the checkpoint to variable.

    Raises:
      UserError: some are missing or have another shape; says which, and a likely cause.
    """
    comparison = compare(stored_shapes(prefix), variables)
    if comparison.missing or comparison.reshaped:
        raise UserError('%s does not fit this network. %s\n%s'
                        % (prefix, guess_cause(comparison), describe(comparison)))


def stored_shapes(prefix):
    """Lists the variables of a checkpoint.

    Args:
      prefix: str, of a checkpoint in TensorFlow's present or its first format.

    Returns:
      Dict from name to shape, a list of int.

    Raises:
      UserError: the file is damaged or no checkpoint.
    """
    try:
        with checkpoints.reader_of(prefix) as reader:
            return reader.get_variable_to_shape_map()
    except UserError as error:
        raise UserError('%s cannot be read as a checkpoint: %s. Give another checkpoint, or '
                        'copy it again.' % (prefix, error))


def compare(stored, variables):
    """Compares a checkpoint with a network.

    Args:
      stored: dict from name to shape, see `stored_shapes`.
      variables: dict from name to variable.

    Returns:
      `Comparison`, each list sorted.
    """
    both = set(stored) & set(variables)
    reshaped = {name for name in both if variables[name].shape.as_list() != list(stored[name])}
    return Comparison(sorted(both - reshaped), sorted(set(variables) - both),
                      sorted(set(stored) - both), sorted(reshaped))


def describe(comparison):
    """Says how a checkpoint fits, with examples of what does not. Returns str of some lines."""
    lines = ['%d variables match, %d are missing in the checkpoint, %d have another shape there, '
             '%d of the checkpoint are not used.'
             % tuple(len(getattr(comparison, field))
                     for field in ('matched', 'missing', 'reshaped', 'unused'))]
    for title, names in (('missing', comparison.missing), ('another shape', comparison.reshaped),
                         ('not used', comparison.unused)):
        if names:
            lines.append('  %s: %s' % (title, _listed(names)))
    return '\n'.join(lines)


def _depth_of(names):
    """The ResNet of some variable names: (version, model such as 'resnet_v2_50'), or None."""
    match = next(filter(None, (re.match(r'resnet_(v\d)_\w+?(?=/)', name)
                               for name in sorted(names))), None)
    return (match.group(1), match.group(0)) if match else None


def guess_cause(comparison):
    """Guesses why a checkpoint does not fit. Returns str, a sentence that says what to do."""
    stored = _depth_of(comparison.matched + comparison.unused + comparison.reshaped)
    wanted = _depth_of(comparison.matched + comparison.missing + comparison.reshaped)
    if not comparison.missing and not comparison.reshaped:
        return 'It fits.'
    if stored and wanted and stored[0] != wanted[0]:
        return ('It is a ResNet %s; this network is built on %s, whose units differ: its weights '
                'cannot be used.' % (stored[0], wanted[0]))
    if stored and wanted and stored[1] != wanted[1]:
        return 'It was trained with another depth: give --resnet_model %s.' % stored[1]
    wrong = comparison.missing + comparison.reshaped
    if all(name.startswith(LOGITS_SCOPE + '/') for name in wrong):
        return 'It was trained on another number of classes.'
    if stored and all(name.startswith(HEAD_SCOPE + '/') for name in wrong):
        return ('It holds a backbone alone, such as ImageNet weights: give --allow_missing %s to '
                "start with a random head. (tf-slim's are installed by resnet/download.py --file, "
                'for --init_from imagenet.)' % HEAD_SCOPE)
    if any('.ATTRIBUTES/' in name for name in comparison.unused):
        return 'It was written by Keras or TensorFlow 2, which name variables otherwise.'
    if not comparison.matched:
        return 'It belongs to another network: not one variable has a name of this one.'
    return 'It was written by other code, or is incomplete.'


def _listed(names):
    names = sorted(names)
    more = len(names) - _EXAMPLES_SHOWN
    return ', '.join(names[:_EXAMPLES_SHOWN]) + (' and %d more' % more if more > 0 else '')


def start_of(args, checkpoint, saver, averages, copy_op=None, is_chief=True):
    """Decides where the weights of a run come from, and says so. In this order:

    1. `checkpoint`, that of a run which is continued: weights, optimizer and step;
    2. --init_from: weights alone, at step 0;
    3. --init_from random.

    Args:
      args: the flags.
      checkpoint: str, the prefix that a run goes on from, or None.
      saver: `tf.train.Saver` of all variables.
      averages: dict from variables to their averages of --ema_decay.
      copy_op: None, or the op that gives all workers the chief's variables.
      is_chief: bool; another worker reads no checkpoint.

    Returns:
      A function of a session that restores or initialises all variables.

    Raises:
      UserError: the checkpoint does not fit.
    """
    initialise = tf.group(tf.global_variables_initializer(), tf.local_variables_initializer())
    load = _loader_of(args, checkpoint, saver, averages) if is_chief else None

    def start(session):
        session.run(initialise)
        if load:
            load(session)
        if copy_op is not None:
            session.run(copy_op)
    return start


def _loader_of(args, checkpoint, saver, averages):
    """Returns a function that restores what `start_of` says, or None for random weights."""
    load = None
    if checkpoint:
        check_complete(checkpoint, {v.op.name: v for v in tf.global_variables()})
        load = functools.partial(restore, saver, prefix=checkpoint)
        message = ("Continuing %s at step %d (--resume): weights, optimizer's state, step and "
                   'learning rate go on.' % (checkpoint, checkpoints.step_of(checkpoint)))
    elif args.init_from != recipes.RANDOM:
        load_initial, message = init_from(args.init_from, args.resnet_model, args.allow_missing,
                                          args.dataset_dir)
        # The averages begin with the loaded weights too.
        copy = tf.group(*[average.assign(variable) for variable, average in averages.items()])

        def load(session):
            load_initial(session)
            session.run(copy)
        message = 'Starting ' + message
    else:
        message = 'Starting at step 0 with random weights (seed %d).' % args.seed
    print(message)
    return load


def _is_in(name, scopes):
    return any(name == scope or name.startswith(scope.rstrip('/') + '/') for scope in scopes)


def _find_initial(path, resnet_model):
    """Returns (prefix, scopes that it lacks by its nature) of what --init_from names."""
    if path != recipes.IMAGENET:
        prefix = checkpoints.find(path)[0]
        if imagenet.is_archive(prefix):
            raise UserError("--init_from %s is an archive. If it is tf-slim's, install it, and "
                            'give --init_from imagenet: %s' % (path, command(
                                'resnet/download.py', '--resnet_model', resnet_model, '--file',
                                path)))
        return prefix, [HEAD_SCOPE] if imagenet.is_installed(prefix) else []
    return ensure_imagenet(resnet_model), [HEAD_SCOPE]


def check_start(path, resnet_model):
    """Makes sure that --init_from can be had, before work is done for it; raises `UserError`."""
    if path != recipes.RANDOM:
        _find_initial(path, resnet_model)


def ensure_imagenet(resnet_model):
    """`imagenet.ensure` for a run: where the weights cannot be had, names the ways to train.

    Returns:
      str, the checkpoint's prefix.

    Raises:
      UserError: as `imagenet.ensure`.
    """
    try:
        return imagenet.ensure(resnet_model)
    except DownloadError as error:
        raise UserError(
            'The ImageNet weights that training starts from (--init_from imagenet) are not to be '
            'had: %s\nOr train without them:\n'
            '  --init_from random: the same training from random weights\n'
            '  --recipe scratch: from random weights too, with settings that learn from them'
            % error)


def init_from(path, resnet_model, allow_missing=(), dataset_dir=None):
    """Makes the function that starts a run from the weights of a checkpoint, at step 0.

    Where the checkpoint holds averages of --ema_decay, they are the weights. Logits of
    another number of classes, or of classes that are called otherwise, are randomly initialised,
    and this is said; so is what `allow_missing` names, and the head of ImageNet's weights.
    Nothing else may be missing or have another shape.

    Args:
      path: str, as in `checkpoints.find`, or 'imagenet'.
      resnet_model: str, whose ImageNet weights 'imagenet' means.
      allow_missing: list of str, variables or scopes.
      dataset_dir: str, of the data set to train on; None to compare no classes.

    Returns:
      (function of a session that restores the weights, str that says what it does).

    Raises:
      UserError: no checkpoint, or it does not fit.
    """
    prefix, lacking = _find_initial(path, resnet_model)
    variables = {variable.op.name: variable for variable in slim.get_model_variables()}
    stored, suffix = stored_shapes(prefix), ''
    if is_averaged(prefix):
        suffix = AVERAGED
        stored = {name[:-len(suffix)]: shape for name, shape in stored.items()
                  if name.endswith(suffix)}
    comparison = compare(stored, variables)
    fresh = {name for name in comparison.missing + comparison.reshaped
             if _is_in(name, lacking + list(allow_missing))}
    fresh |= {name for name in comparison.reshaped if _is_in(name, [LOGITS_SCOPE])}
    if set(comparison.missing + comparison.reshaped) - fresh or not comparison.matched:
        raise UserError('--init_from %s does not fit this network. %s\n%s\nWhat may be missing '
                        'can be named in --allow_missing.'
                        % (prefix, guess_cause(comparison), describe(comparison)))
    others = _other_classes(path, dataset_dir)
    if others:
        fresh |= {name for name in variables if _is_in(name, [LOGITS_SCOPE])}
    saver = tf.train.Saver({name + suffix: variables[name]
                            for name in comparison.matched if name not in fresh})
    message = ('at step 0 with the %sweights of %s (--init_from); its optimizer, step and learning '
               'rate are not used. %s'
               % ('averaged ' if suffix else '', prefix, describe(comparison)))
    if fresh:
        message += '\n  randomly initialised: ' + _listed(fresh)
        if others or all(_is_in(name, [LOGITS_SCOPE]) for name in fresh):
            message += ' (%s)' % (others or 'another number of classes')
    return (lambda session: restore(saver, session, prefix)), message


def _other_classes(path, dataset_dir):
    """Says which classes have other names in the run of --init_from, and warns of other bands.

    Returns:
      str, '' where they are the same, of another number, or not known.
    """
    run_dir = None if path == recipes.IMAGENET else checkpoints.find(path)[1]
    known = None
    with contextlib.suppress(UserError):  # a damaged config.json is no obstacle to the weights
        known = run_dir and config.load_classes(run_dir)
    if not known or dataset_dir is None:
        return ''
    info = descriptor.load(dataset_dir)
    loading.warn_of_bands(known, path, info, dataset_dir)
    is_same_number = known.number_of_classes == info.number_of_classes
    return loading.in_words(loading.other_names(known, info)) if is_same_number else ''
