"""The folder of results: which files in it are results, and which are somebody's own."""
import contextlib
import json
import os
import re

from common.errors import UserError

# One JSON string a line: what was written. Each is added before it is written, so that the
# next run knows what a killed one left.
JOURNAL = '.results'
_FRAME = re.compile(r'[0-9]{6,}\.png\Z')


class OutputFolder:
    """A folder of results that may hold other files, the inputs themselves even.

    No result takes the place of a file that is none, and results are no inputs.

    Args:
      path: str, made when the first result is.
    """

    def __init__(self, path):
        self.path = path
        self._real, self._results = os.path.realpath(path), set()
        try:
            with open(os.path.join(path, JOURNAL), encoding='utf-8', errors='replace') as journal:
                for line in journal:
                    # A full disk may have cut a line. Its file is then taken for another's.
                    with contextlib.suppress(ValueError, TypeError):
                        self._results.add(json.loads(line))
        except (FileNotFoundError, NotADirectoryError):
            pass  # no results so far

    def is_result(self, path):
        """Whether a file is a result of this or an earlier run here."""
        folder, name = os.path.split(os.path.relpath(os.path.realpath(path), self._real))
        return os.path.join(folder, name) in self._results or bool(
            _FRAME.match(name) and folder in self._results)

    def has_others(self, name):
        """Whether a file that is no result has the place of one of an input called `name`."""
        return any(self._is_anothers(os.path.join(*parts)) for parts in (
            ('index', name + '.png'), ('palette', name + '.png'), ('overlay', name + '.png'),
            ('overlay', name + '.gif'), ('overlay', name + '.mp4'), ('frames', name),
            ('probabilities', name + '.npz')))

    def _is_anothers(self, relative):
        path = os.path.join(self.path, relative)
        if relative in self._results or not os.path.lexists(path):
            return False
        # A folder of frames may hold other files beside them.
        return not (os.path.isdir(path) and relative.startswith('frames' + os.sep)) or any(
            _FRAME.match(name) for name in os.listdir(path))

    def place(self, *parts):
        """Returns the path of a result that is written now, and makes the folder it is in.

        Args:
          parts: str, of the path within this folder; a folder of frames counts as one result.

        Raises:
          UserError: a file that is no result has this path.
        """
        relative = os.path.join(*parts)
        path = os.path.join(self.path, relative)
        if self._is_anothers(relative):
            raise UserError('%s is there, and %s does not list it as a result: move it, or give '
                            'another --output_dir.' % (path, JOURNAL))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if relative not in self._results:
            with open(os.path.join(self.path, JOURNAL), 'a', encoding='utf-8') as journal:
                journal.write(json.dumps(relative) + '\n')
            self._results.add(relative)
        return path

    def clear(self, *names):
        """Removes the results that are called `names`, or lie in folders that are."""
        for relative in self._results:
            if (relative + os.sep).startswith(tuple(name + os.sep for name in names)):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(self.path, relative))

    def place_frames(self, folder, name):
        """Moves a folder of frames to frames/NAME; of what is there only frames are replaced."""
        path = self.place('frames', name)
        os.makedirs(path, exist_ok=True)
        for old in os.listdir(path):
            if _FRAME.match(old):
                os.remove(os.path.join(path, old))
        for new in sorted(os.listdir(folder)):
            os.replace(os.path.join(folder, new), os.path.join(path, new))
