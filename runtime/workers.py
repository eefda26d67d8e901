"""Several processes that train or evaluate as one: TF_CONFIG, TensorFlow's server, sums of tensors.

Each process is a worker, the first the chief. Tensors are summed by TensorFlow's collectives: by
NCCL where each worker has a GPU, else in a ring over gRPC between the CPUs. `channel` carries the
rest. One process alone is `ALONE`, which opens nothing and adds nothing to a graph.
"""
import contextlib
import json
import os

from common.errors import UserError
from runtime import collective_ops, tf
from runtime.channel import GOES_ON, Channel, split_address
from runtime.devices import first_line, mixed_precision, session_config

_JOB = 'worker'
_GROUP_KEY = 1
# What a start waits for the others, in --worker_timeout: machines come up one after another.
START_TIMEOUTS = 5
DEFAULT_TIMEOUT = 60.0


def task_of(tf_config):
    """Reads TF_CONFIG as Kubeflow's TFJob and Vertex AI set it.

    Args:
      tf_config: str, JSON, or None.

    Returns:
      (list of 'host:port', the chief's first; int, this process's place in it), or None where
      there are not several workers.

    Raises:
      UserError: no such JSON, or a role that this project has not.
    """
    if not tf_config:
        return None
    try:
        values = json.loads(tf_config)
        cluster, task = values.get('cluster') or {}, values.get('task') or {}
        role, index = task.get('type'), int(task.get('index') or 0)
        addresses = {name: list(hosts) for name, hosts in cluster.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError('TF_CONFIG is not {"cluster": {"chief": [...], "worker": [...]}, "task": '
                        '{"type": ..., "index": ...}} (%s): %.200s' % (error, tf_config))
    others = sorted({role, *addresses} - {'chief', 'master', 'worker', None})
    if others:
        raise UserError('TF_CONFIG has the role %s: there are only chief and worker here, which '
                        'train and evaluate. Leave the others out of the job.' % ', '.join(others))
    places = [(name, place) for name in ('chief', 'master', 'worker')
              for place in range(len(addresses.get(name, ())))]
    if len(places) < 2:
        return None
    if (role, index) not in places:
        raise UserError('TF_CONFIG: the task %s %s is not in the cluster %s.'
                        % (role, index, json.dumps(cluster)))
    flat = [addresses[name][place] for name, place in places]
    for address in flat:
        split_address(address)
    if len(set(flat)) < len(flat):
        raise UserError('TF_CONFIG: several workers have one address in %s.' % ', '.join(flat))
    return flat, places.index((role, index))


def tf_config(addresses, rank):
    """Returns the TF_CONFIG, str, of one of the workers at a list of 'host:port'."""
    cluster = {'chief': addresses[:1], 'worker': addresses[1:]}
    return json.dumps({
        'cluster': {name: hosts for name, hosts in cluster.items() if hosts},
        'task': {'type': 'worker', 'index': rank - 1} if rank else {'type': 'chief', 'index': 0}})


class Alone:
    """The one process of a job: what several do together, it does by itself.

    Attributes:
      rank, count: ints, this worker's number and how many there are.
      is_chief: bool.
      is_quiet: as `disable` of tqdm: True on another worker than the chief.
      device, target: as of `tf.device` and `tf.Session`.
      all_sum: None, or a function that maps a list of tensors to their sums over the workers.
    """
    rank, count, device, target, all_sum = 0, 1, None, '', None
    is_chief, is_quiet = True, None

    def start_server(self):
        """Starts what sessions run in; call it before graphs are built."""

    def session_config(self):
        """Returns the `tf.ConfigProto` of sessions on `target`."""
        return session_config()

    def of_chief(self, function):
        """Returns on all workers what a function returns on the chief; JSON has to hold it."""
        return function()

    def is_due(self, stop):
        """Whether a worker was asked to stop; then all are, with its reason. Returns bool."""
        return stop.is_due()

    def chiefs(self, explain):
        """Returns a function that words a failure which all have at once: the chief tells."""
        return explain

    def build_copy(self, variables):
        """Returns an op that gives all workers the chief's values of variables, or None."""

    def explained(self):
        """Within it, what TensorFlow says of a worker that is gone waits for a better message."""
        return contextlib.ExitStack()


ALONE = Alone()


class Workers(Alone):
    """One worker of several.

    Args:
      channel: `Channel`, open.

    Attributes:
      has_nccl: bool, whether sums are NCCL's; known once the server has started.
    """

    def __init__(self, channel):
        self.channel, self.rank, self.count = channel, channel.rank, len(channel.addresses)
        self.is_chief, self.is_quiet = self.rank == 0, self.rank > 0 or None
        self.device, self._server, self._num_sums = '/job:%s/task:%d' % (_JOB, self.rank), None, 0
        self.all_sum, self.has_nccl = self._all_sum, False

    def start_server(self):
        """Starts TensorFlow's server at this worker's address, and looks whether all are reached.

        Raises:
          UserError: the port is taken, or the address of another worker leads nowhere.
        """
        try:
            self._server = tf.train.Server(
                {_JOB: self.channel.addresses}, job_name=_JOB, task_index=self.rank,
                config=self._config())
        except tf.errors.OpError as error:
            raise UserError("TensorFlow's server cannot be started at %s: %s. Give another port."
                            % (self.channel.addresses[self.rank], first_line(error)))
        self.target = self._server.target
        self.channel.check_addresses()
        with tf.Graph().as_default(), tf.Session(
                self.target, config=self.session_config()) as session:
            session.run(tf.no_op())  # else TensorFlow complains that it lists too early
            has_gpu = any(device.device_type == 'GPU' for device in session.list_devices())
        self.has_nccl = all(self.channel.share(has_gpu))

    def _config(self):
        config = session_config()
        config.experimental.collective_group_leader = '/job:%s/replica:0/task:0' % _JOB
        if mixed_precision() == 'bf16':
            # Servers check the ops that it fuses before oneDNN's replace them: "bfloat16 is not in
            # the list of allowed values".
            rewrites = config.graph_options.rewrite_options
            rewrites.remapping = rewrites.OFF
        return config

    def session_config(self):
        """As of `Alone`: a session that asks no other worker to be there for it."""
        config = self._config()
        config.device_filters.append(self.device)
        # Sums that do not depend on each other begin in one order on all: NCCL would wait for ever.
        config.experimental.collective_nccl = self.has_nccl
        return config

    def of_chief(self, function):
        """As of `Alone`."""
        return self.channel.share(function() if self.is_chief else None)[0]

    def is_due(self, stop):
        """As of `Alone`."""
        asked = self.channel.share([stop.reason, stop.status] if stop.is_due() else None)
        for rank, request in enumerate(asked):
            if request:
                self.channel.ask_to_stop(rank, *request)
        return any(asked)

    def chiefs(self, explain):
        """As of `Alone`."""
        def wait_for_chief(*_):
            self.channel.wait_for_failure()
            return 'The chief says what failed.'
        return explain if self.is_chief else wait_for_chief

    def _all_sum(self, tensors):
        """Sums tensors over the workers, all of one type as one buffer.

        Args:
          tensors: list of tensors whose shapes are known and equal on all workers.

        Returns:
          List of tensors, the same bits on all workers. No gradient passes them.
        """
        sums = [None] * len(tensors)
        for dtype in sorted({tensor.dtype.base_dtype for tensor in tensors}, key=str):
            places = [place for place, tensor in enumerate(tensors)
                      if tensor.dtype.base_dtype == dtype]
            flat = tf.concat([tf.reshape(tensors[place], [-1]) for place in places], axis=0)
            parts = tf.split(self._summed(flat), [
                tensors[place].shape.num_elements() for place in places])
            for place, part in zip(places, parts):
                sums[place] = tf.reshape(part, tensors[place].shape)
        return sums

    def _summed(self, flat):
        self._num_sums += 1
        # 1.15 wants a device that is spelled out.
        with tf.device('%s/device:%s:0' % (self.device, 'GPU' if self.has_nccl else 'CPU')):
            return collective_ops.all_reduce(
                tf.identity(flat), self.count, _GROUP_KEY, self._num_sums, 'Add', 'Id',
                communication_hint='nccl' if self.has_nccl else 'ring')

    def build_copy(self, variables):
        """As of `Alone`."""
        values = [variable if self.is_chief else tf.zeros_like(variable)
                  for variable in variables]
        return tf.group(*[variable.assign(value)
                          for variable, value in zip(variables, self._all_sum(values))])

    @contextlib.contextmanager
    def explained(self):
        """As of `Alone`."""
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.CancelledError, tf.errors.AbortedError,
                tf.errors.InternalError, tf.errors.UnknownError) as error:
            # The channel ends the process where a worker is gone.
            self.channel.wait_for_failure()
            raise UserError('The workers lost each other: %s. %s'
                            % (first_line(error), GOES_ON))


@contextlib.contextmanager
def joined(tf_config, about, timeout=DEFAULT_TIMEOUT, stop=None):
    """Joins the job that TF_CONFIG describes, if it does, and leaves it at the end.

    Args:
      tf_config: str or None.
      about: function that returns a dict from what to text, which has to be equal on all workers.
      timeout: float, seconds after which a worker without a sign of life counts as hung.
      stop: `stopping.StopRequest`, or None.

    Yields:
      `Alone` or `Workers`.

    Raises:
      UserError: a worker is missing, or was started otherwise.
    """
    task = task_of(tf_config)
    if task is None:
        yield ALONE
        return
    # Before TensorFlow is imported: 2.21 warns of what it cleans up behind sums that went well.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    channel = Channel(*task, timeout=timeout, stop=stop)
    channel.open(dict(about(), workers=' '.join(task[0])), START_TIMEOUTS * timeout)
    try:
        yield Workers(channel)
        channel.share(None)  # nobody leaves before all are through
    except BaseException as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        channel.close('%s ended: %s' % (channel.name(channel.rank), lines[0]))
        raise
    channel.close()
