"""common/http.py against a local server with faults."""
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import requests

from common import http
from tests.helpers import ROOT
from tests.helpers.file_server import closed_port, serve

BODY = np.random.RandomState(0).bytes(300000)
OTHER = np.random.RandomState(1).bytes(len(BODY))
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(http, 'RETRY_DELAYS', (0, 0, 0))
    with serve() as state:
        state.files['/a.bin'] = BODY
        yield state


def fetch(server, folder, **options):
    """Fetches /a.bin; returns the bytes of the file, after checking that nothing else is left."""
    path = str(folder / 'new' / 'a.bin')
    assert http.fetch(server.url + '/a.bin', path, **options) == path
    assert os.listdir(os.path.dirname(path)) == ['a.bin']
    with open(path, 'rb') as handle:
        return handle.read()


def failure(server, folder, **options):
    """Lets the fetch of /a.bin fail; returns the message. The file must not be there."""
    with pytest.raises(http.DownloadError) as error:
        http.fetch(server.url + '/a.bin', str(folder / 'a.bin'), **options)
    assert not (folder / 'a.bin').exists()
    assert server.url + '/a.bin' in str(error.value)
    return str(error.value)


def stop_in_the_middle(server, folder, monkeypatch, **options):
    """Leaves the first 200,000 bytes of /a.bin as a partial download."""
    server.cut_after = [200000]
    with monkeypatch.context() as context:
        context.setattr(http, 'RETRY_DELAYS', ())
        message = failure(server, folder, **options)
    assert '200000 bytes of 300000' in message
    assert os.path.getsize(str(folder / 'a.bin.part')) == 200000
    server.requests, server.sent = [], 0


def test_file_arrives_with_its_checksum(server, tmp_path):
    assert fetch(server, tmp_path, md5=MD5) == BODY


def test_file_arrives_without_any_checksum(server, tmp_path):
    assert fetch(server, tmp_path) == BODY


def test_file_with_the_right_checksum_is_not_fetched_again(server, tmp_path):
    fetch(server, tmp_path)
    assert fetch(server, tmp_path, md5=MD5.upper()) == BODY
    assert len(server.requests) == 1
    server.files['/a.bin'] = OTHER
    assert fetch(server, tmp_path, md5=hashlib.md5(OTHER).hexdigest()) == OTHER


def test_lost_connection_is_taken_up_where_it_ended(server, tmp_path):
    server.cut_after = [100000, 50000]
    assert fetch(server, tmp_path, md5=MD5) == BODY
    assert [headers.get('Range') for _, headers in server.requests] == [
        None, 'bytes=100000-', 'bytes=150000-']
    assert server.sent == len(BODY)


def test_any_number_of_lost_connections_is_borne_while_bytes_arrive(server, tmp_path):
    server.cut_after = [30000] * 9
    assert fetch(server, tmp_path) == BODY
    assert len(server.requests) == 10 and server.sent == len(BODY)


def test_lost_connection_of_a_chunked_answer_is_tried_again(server, tmp_path):
    server.chunked, server.cut_after = True, [100000]
    assert fetch(server, tmp_path) == BODY
    assert len(server.requests) == 2


@pytest.mark.parametrize('options', [{}, {'md5': MD5}])
def test_a_later_call_asks_for_the_rest_only(server, tmp_path, monkeypatch, options):
    stop_in_the_middle(server, tmp_path, monkeypatch, **options)
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'), **options)
    assert (tmp_path / 'a.bin').read_bytes() == BODY
    (_, headers), = server.requests
    assert (headers['Range'], headers['If-Range']) == ('bytes=200000-', '"one"')
    assert server.sent == 100000


def test_partial_file_is_completed_from_another_address_if_a_checksum_proves_it(
        server, tmp_path, monkeypatch):
    server.files['/mirror'] = BODY
    stop_in_the_middle(server, tmp_path, monkeypatch, md5=MD5)
    server.tag = '"two"'
    http.fetch([closed_port() + '/x', server.url + '/mirror'], str(tmp_path / 'a.bin'),
               md5=MD5)
    assert (tmp_path / 'a.bin').read_bytes() == BODY and server.sent == 100000


@pytest.mark.parametrize('change', [
    dict(ranges=False),                                   # answers 200 with everything
    dict(tag='"two"'),                                    # refuses If-Range: 200
    dict(tag='"two"', files={'/a.bin': OTHER}),
    dict(files={'/a.bin': OTHER + OTHER}),                # 206 of another length
    dict(files={'/a.bin': OTHER[:100]})])                 # 416
@pytest.mark.parametrize('checked', [False, True])
def test_server_without_ranges_or_with_a_changed_file_starts_over(server, tmp_path, monkeypatch,
                                                                  change, checked):
    stop_in_the_middle(server, tmp_path, monkeypatch)
    for name, value in change.items():
        setattr(server, name, value)
    expected = server.files['/a.bin']
    options = {'md5': hashlib.md5(expected).hexdigest()} if checked else {}
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'), **options)
    assert (tmp_path / 'a.bin').read_bytes() == expected


def test_changed_file_is_noticed_although_the_server_ignores_if_range(server, tmp_path,
                                                                      monkeypatch):
    stop_in_the_middle(server, tmp_path, monkeypatch)
    server.files['/a.bin'] = OTHER
    # It is never shown the If-Range, and so sends the rest of the changed file.
    server.tag, server.headers = None, {'Last-Modified': 'Mon, 01 Jan 2018 00:00:00 GMT'}
    real = requests.get

    def without_if_range(url, headers, **options):
        return real(url, headers={k: v for k, v in headers.items() if k != 'If-Range'}, **options)
    monkeypatch.setattr(requests, 'get', without_if_range)
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'))
    assert (tmp_path / 'a.bin').read_bytes() == OTHER
    assert 'Range' in server.requests[0][1]


@pytest.mark.parametrize('tag', [None, 'W/"weak"'])
def test_without_validator_and_checksum_nothing_is_appended(server, tmp_path, monkeypatch, tag):
    server.tag = tag
    stop_in_the_middle(server, tmp_path, monkeypatch)
    server.files['/a.bin'] = OTHER
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'))
    assert (tmp_path / 'a.bin').read_bytes() == OTHER


@pytest.mark.parametrize('state', [None, 'no JSON', '[]', '{"url": 1}'])
def test_partial_file_of_unknown_origin_is_not_used(server, tmp_path, state):
    (tmp_path / 'a.bin.part').write_bytes(b'x' * 1000)
    if state:
        (tmp_path / 'a.bin.part.json').write_text(state)
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'), md5=MD5)
    assert 'Range' not in server.requests[0][1]


def test_whole_partial_file_is_verified_without_a_request(server, tmp_path):
    (tmp_path / 'a.bin.part').write_bytes(BODY)
    (tmp_path / 'a.bin.part.json').write_text(json.dumps(
        {'url': server.url + '/a.bin', 'validator': '"one"', 'total': len(BODY)}))
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'), md5=MD5)
    assert os.listdir(str(tmp_path)) == ['a.bin'] and not server.requests


@pytest.mark.parametrize('status', [500, 503, 429])
def test_passing_faults_of_the_server_are_tried_again(server, tmp_path, status):
    server.statuses = [status, status]
    assert fetch(server, tmp_path) == BODY


@pytest.mark.parametrize('status,times', [(503, 4), (404, 1), (403, 1), (204, 1)])
def test_lasting_faults_of_the_server_are_named(server, tmp_path, status, times):
    server.statuses = [status] * 9
    message = failure(server, tmp_path, by_hand='Ask Ada.')
    assert 'answers %d ' % status in message and message.endswith('\nAsk Ada.')
    assert len(server.requests) == times
    assert not os.listdir(str(tmp_path))


def test_message_names_the_address_and_the_way_by_hand(server, tmp_path):
    del server.files['/a.bin']
    message = failure(server, tmp_path)
    assert '404 Not Found' in message and '--file PATH' in message


def test_body_that_always_ends_early_gives_no_file(server, tmp_path):
    server.ranges, server.cut_after = False, [1000] * 9
    assert 'ended after 1000 bytes of 300000' in failure(server, tmp_path, md5=MD5)
    assert len(server.requests) == 4  # one, and three since its progress


def test_unreachable_host_is_tried_twice_and_said_plainly(tmp_path, monkeypatch):
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    slept = []
    monkeypatch.setattr(http.time, 'sleep', slept.append)
    url = closed_port() + '/a.bin'
    with pytest.raises(http.DownloadError) as error:
        http.fetch(url, str(tmp_path / 'a.bin'))
    assert str(error.value) == (
        'Could not download a.bin.\n  %s: no connection ([Errno 111] Connection refused)\n%s'
        % (url, http.BY_HAND))
    assert slept == [0.2] and not os.listdir(str(tmp_path))


@pytest.mark.parametrize('url', ['no address', 'ftp://example.invalid/a.bin', 'http://'])
def test_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(http.DownloadError) as error:
        http.fetch(url, str(tmp_path / 'a.bin'))
    assert '  %s: ' % url in str(error.value)


def test_addresses_are_tried_in_order_and_all_are_named(server, tmp_path):
    server.files['/wrong'] = OTHER
    urls = [closed_port() + '/a', server.url + '/missing', server.url + '/wrong']
    with pytest.raises(http.DownloadError) as error:
        http.fetch(urls, str(tmp_path / 'a.bin'), md5=MD5)
    lines = str(error.value).splitlines()
    assert [line.split(': ')[0].strip() for line in lines[1:4]] == urls
    http.fetch(urls + [server.url + '/a.bin', closed_port()], str(tmp_path / 'a.bin'),
               md5=MD5)
    assert (tmp_path / 'a.bin').read_bytes() == BODY


def test_wrong_checksum_names_both_and_leaves_nothing(server, tmp_path):
    server.files['/a.bin'] = OTHER
    message = failure(server, tmp_path, md5=MD5)
    assert 'md5 expected %s, found %s' % (MD5, hashlib.md5(OTHER).hexdigest()) in message
    assert not os.listdir(str(tmp_path)) and len(server.requests) == 1


def test_web_page_in_place_of_the_file_is_called_one(server, tmp_path):
    server.files['/a.bin'] = b'\n<!DOCTYPE html><title>Please log in</title>'
    assert 'web page' in failure(server, tmp_path, md5=MD5)


def test_untold_length_needs_a_checksum(server, tmp_path):
    server.lengths = False
    assert 'how long' in failure(server, tmp_path)
    assert fetch(server, tmp_path, md5=MD5) == BODY


def test_bytes_are_kept_as_sent_although_the_server_calls_them_compressed(server, tmp_path):
    # Some servers say so of every .tgz; unpacked on the way it would be another file.
    server.headers = {'Content-Encoding': 'gzip'}
    assert fetch(server, tmp_path, md5=MD5) == BODY
    assert server.requests[0][1]['Accept-Encoding'] == 'identity'


def test_second_process_does_not_write_to_the_same_partial_file(server, tmp_path):
    with open(str(tmp_path / 'a.bin.part'), 'ab') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(http.DownloadError, match='another process'):
            http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'))
    assert not server.requests
    http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'))


def test_too_small_disk_is_noticed_before_the_transfer(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http.shutil, 'disk_usage',
                        lambda _: namedtuple('Usage', 'free')(len(BODY) - 1))
    urls = [server.url + '/a.bin'] * 2
    with pytest.raises(http.NoRoomError) as error:
        http.fetch(urls, str(tmp_path / 'a.bin'), md5=MD5)
    assert str(tmp_path) in str(error.value) and '0.3 MiB' in str(error.value)
    assert len(server.requests) == 1 and not os.listdir(str(tmp_path))


def test_disk_that_fills_up_is_reported(server, tmp_path):
    os.symlink('/dev/full', str(tmp_path / 'a.bin.part'))
    with pytest.raises(http.NoRoomError, match='disk is full.*a.bin.part'):
        http.fetch(server.url + '/a.bin', str(tmp_path / 'a.bin'), md5=MD5)
    assert not (tmp_path / 'a.bin').exists()


def test_module_is_free_of_tensorflow_and_requests():
    code = ('import sys; from common import archives, http\n'
            'assert not {"tensorflow", "requests", "urllib3"} & set(sys.modules)')
    subprocess.check_call([sys.executable, '-c', code], cwd=ROOT)
