"""What the tests share."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Material that lies beside a developer's checkout; tests that need it skip without.
SHARED = os.path.join(os.path.dirname(ROOT), 'shared')
