"""The parser of every script: a wrong flag is answered in two lines, with the nearest one."""
import argparse
import difflib
import sys

# Of 1: how alike a flag must be to be proposed.
_ALIKE = 0.7
_MOST_PROPOSED = 3


class Parser(argparse.ArgumentParser):
    """Takes flags as they are written, and says of one that there is none which is the nearest.

    Args:
      description: str, what --help begins with, as it is.
      epilog: str or None, what it ends with.
    """

    def __init__(self, description, epilog=None):
        super().__init__(description=description, epilog=epilog, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but unknown flags come before those that are missing: one is the other."""
        args = sys.argv[1:] if args is None else list(args)
        for word in args[:args.index('--')] if '--' in args else args:
            # argparse takes words with blanks for values.
            if (word.startswith('--') and ' ' not in word
                    and word.partition('=')[0] not in self._option_string_actions):
                self.error(self._unknown(word.partition('=')[0]))
        return super().parse_known_args(args, namespace)

    def parse_args(self, args=None, namespace=None):
        """As argparse's, which would list what is left over without a word."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            self.error(self._unknown(rest[0]))
        return found

    def error(self, message):
        """Ends the process with status 2: the first line of the usage, then what is wrong."""
        usage = self.format_usage().splitlines()
        more = ' ...' if len(usage) > 1 else ''
        self.exit(2, '%s%s\n%s: error: %s\n' % (usage[0], more, self.prog, message))

    def _unknown(self, word):
        flags = [flag for flag in self._option_string_actions if flag.startswith('--')]
        name = '--' + word.lstrip('-').replace('-', '_')
        nearest = difflib.get_close_matches(name, flags, _MOST_PROPOSED, _ALIKE)
        return '%s is no flag here%s. %s --help lists all.' % (
            word, '; the nearest: ' * bool(nearest) + ', '.join(nearest), self.prog)
