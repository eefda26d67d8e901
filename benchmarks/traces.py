"""Where the time of one step goes: a timeline, and the kinds of operations that take most."""
import collections
import re

from common import files

# 'NAME = KIND(INPUTS)' and before it, where memory was taken, '[ALLOCATOR ...] '.
_LABEL = re.compile(r'(?:^|\s)\S+ = (\w+)\(')
ROWS_SHOWN = 10


def operations_of(step_stats):
    """Lists the operations of a step.

    Args:
      step_stats: `tf.RunMetadata.step_stats` of a run with FULL_TRACE.

    Returns:
      List of (name, kind, thread, first microsecond, microseconds).
    """
    found = []
    for device in step_stats.dev_stats:
        for node in device.node_stats:
            match = _LABEL.search(node.timeline_label)
            kind = match.group(1) if match else node.node_name.split(':')[-1]
            found.append((node.node_name, kind, node.thread_id, node.all_start_micros,
                          node.op_end_rel_micros - node.op_start_rel_micros))
    return found


def write_timeline(operations, path):
    """Writes operations as chrome://tracing and Perfetto read them.

    Args:
      operations: as of `operations_of`.
      path: str.
    """
    files.write_json({'traceEvents': [
        {'ph': 'X', 'pid': 0, 'tid': thread, 'ts': start, 'dur': duration, 'name': kind,
         'args': {'name': name}} for name, kind, thread, start, duration in operations]}, path)


def heaviest(operations):
    """Sums the time by kind.

    Args:
      operations: as of `operations_of`.

    Returns:
      List of [kind, number of operations, share of the time of all], the heaviest first; at most
      `ROWS_SHOWN`.
    """
    seconds, counts = collections.Counter(), collections.Counter()
    for _, kind, _, _, duration in operations:
        seconds[kind] += duration
        counts[kind] += 1
    whole = max(1, sum(seconds.values()))
    return [[kind, counts[kind], duration / whole]
            for kind, duration in seconds.most_common(ROWS_SHOWN)]
