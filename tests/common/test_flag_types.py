"""common/flag_types.py: what flags take."""
import os

from common import flag_types


def test_the_home_folder_is_put_for_its_sign_at_the_start_alone(monkeypatch):
    monkeypatch.setenv('HOME', '/home/me')
    assert flag_types.path('~/photos') == os.path.join('/home/me', 'photos')
    assert flag_types.path('photos/~a') == 'photos/~a'
