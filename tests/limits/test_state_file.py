"""What was learned is kept in a private file."""

import os
import stat

import pytest

from memprof_middleware import Config
from memprof_middleware.errors import StateError
from memprof_middleware.limits.state_file import FILE_NAME, read_state, state_path, write_state
from memprof_middleware.model.learned import Hour, Learned, Release

KNOWN = Learned(releases=(Release(name="1", since=5.0, hours=(Hour(age_hours=2.0, heap_mb=3.0),)),))
root_cannot = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do everything")


def test_it_is_kept_for_this_user_only(tmp_path):
    """The folder is made, both are private, and what is read is what was written."""
    path = tmp_path / "state" / FILE_NAME
    write_state(path, KNOWN)
    assert read_state(path) == KNOWN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [FILE_NAME]


def test_where_it_is_kept():
    """In the folder that was set, else beside the baseline, else nowhere."""
    assert state_path(Config()) is None
    assert str(state_path(Config(baseline_file="/srv/base.json"))) == f"/srv/{FILE_NAME}"
    assert str(state_path(Config(baseline_file="/srv/base.json", state_dir="/var/x"))) == f"/var/x/{FILE_NAME}"


def test_nothing_is_known_before_the_first_file(tmp_path):
    """No file is no error."""
    assert read_state(tmp_path / FILE_NAME) == Learned()


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"releases": 5}', '{"releases": [{"name": 3}]}', "[" * 100_000, "\0" * (2 << 20)],
)
def test_a_file_that_makes_no_sense_is_moved_aside(tmp_path, text):
    """It is neither lost nor in the way: the error says where it is, and the next start begins anew."""
    path = tmp_path / FILE_NAME
    path.write_text(text)
    with pytest.raises(StateError, match=r"is not a state file; it was moved to 'memprof-learned\.unreadable'"):
        read_state(path)
    assert path.with_suffix(".unreadable").exists()
    assert read_state(path) == Learned()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """The error says what to set."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be written \(.*\): set state_dir to a folder that can be"):
        write_state(tmp_path / "file" / FILE_NAME, KNOWN)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A folder in its place is left where it is."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        read_state(tmp_path / FILE_NAME)


@root_cannot
def test_another_user_s_file_is_left_alone(tmp_path):
    """What may not be read is not moved."""
    path = tmp_path / FILE_NAME
    write_state(path, KNOWN)
    path.chmod(0)
    with pytest.raises(StateError, match="Permission denied"):
        read_state(path)
    path.chmod(0o600)
    assert read_state(path) == KNOWN
