"""What a run logs, to TensorBoard and metrics.jsonl, without steps that were not kept."""
import json
import math
import os

from common import files, html
from common.errors import UserError
from runtime import tf

METRICS_NAME = 'metrics.jsonl'
# In each entry of an evaluation.
VALIDATED_TAG = 'validation/loss'


def iou_tag(class_name):
    """Returns the tag of a class's IoU, text that TensorBoard takes whatever the name, str."""
    return 'validation_iou/' + html.printable(class_name)


class RunLog:
    """TensorBoard summaries and metrics.jsonl of a run, without steps that were not kept.

    A run that was killed has logged steps behind its last checkpoint. When it goes
    on, TensorBoard is told to forget them, and metrics.jsonl is cut.

    Args:
      model_dir: str, an existing folder.
      start_step: int, the step the run goes on from.
      is_validated: bool, whether that step's evaluation was finished; if not, what it
        logged is forgotten too.
    """

    def __init__(self, model_dir, start_step, is_validated=True):
        self.path = os.path.join(model_dir, METRICS_NAME)
        entries = read_metrics(model_dir)
        kept = [entry for entry in entries if entry['step'] < start_step
                or entry['step'] == start_step and (is_validated or VALIDATED_TAG not in entry)]
        again = [] if is_validated else [entry for entry in kept if entry['step'] == start_step]
        with files.replacing(self.path) as f:
            f.writelines(json.dumps(entry, sort_keys=True) + '\n' for entry in kept)
        self._file = open(self.path, 'a')
        self._writer = tf.summary.FileWriter(model_dir)
        # TensorBoard drops what earlier files hold from this step on.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START),
                                     start_step + is_validated)
        for entry in again:
            self._add_to_tensorboard(start_step, {
                tag: math.nan if value is None else value
                for tag, value in entry.items() if tag != 'step'})
        self._writer.flush()

    def add(self, step, scalars, summary=None):
        """Writes scalars to both, and a serialized summary to TensorBoard.

        Args:
          step: int.
          scalars: dict from tag to float.
          summary: None, or bytes of a `tf.Summary` without these scalars.
        """
        if summary is not None:
            self._writer.add_summary(summary, step)
        self._add_to_tensorboard(step, scalars)
        # JSON has no NaN.
        finite = {tag: value if math.isfinite(value) else None for tag, value in scalars.items()}
        self._file.write(json.dumps(dict(finite, step=step), sort_keys=True) + '\n')
        # A kill takes no number along that a checkpoint behind it will not repeat.
        self._file.flush()
        self._writer.flush()

    def _add_to_tensorboard(self, step, scalars):
        self._writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in sorted(scalars.items())]), step)

    def add_image(self, step, tag, png, height, width):
        """Writes an encoded PNG to TensorBoard; it is there for sure after the next `add`."""
        image = tf.Summary.Image(height=height, width=width, colorspace=3,
                                 encoded_image_string=png)
        self._writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, image=image)]), step)

    def close(self):
        """Writes out what is buffered."""
        self._writer.close()
        self._file.close()


def read_metrics(model_dir):
    """Reads metrics.jsonl; a last line that was cut off by a kill is left out.

    Args:
      model_dir: str.

    Returns:
      List of dicts, each with `step`; empty where there is no file.

    Raises:
      UserError: another line is not what a run writes.
    """
    path = os.path.join(model_dir, METRICS_NAME)
    entries = []
    if os.path.exists(path):
        with open(path, errors='replace') as f:
            for number, line in enumerate(f, 1):
                if not line.endswith('\n'):
                    break
                try:
                    entries.append(json.loads(line))
                    entries[-1]['step'] + 0
                except (ValueError, TypeError, KeyError):
                    raise UserError('%s: line %d is no JSON object with a step (%.60r). Take the '
                                    'line out, or the file away: a run goes on without it.'
                                    % (path, number, line.strip()))
    return entries
