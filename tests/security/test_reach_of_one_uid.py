"""Where there are no user namespaces, nsroot-init and what it runs have the same uid. What holds elsewhere holds there too:
the same tests, with a daemon that can have none."""

import pytest

import harness
import test_calls
import test_reach
from harness import NO_NAMESPACES
from test_calls import (test_limits_cannot_be_raised, test_other_ways_into_the_kernel_kill, test_socket_families,
                        test_terminals_cannot_be_typed_into)
from test_descriptors import (place, test_the_wrong_way_round_is_refused,
                              test_what_stdio_may_be_is_taken_and_comes_back_unchanged)
from test_identity import test_an_empty_user_is_an_error_and_not_root
from test_profile import (inside, status, test_a_working_directory_outside_is_refused, test_device_nodes_are_read_only_and_work,
                          test_device_nodes_of_the_host_cannot_be_changed,
                          test_every_mount_is_nosuid_and_nodev_but_for_devices, test_exactly_three_descriptors,
                          test_masks, test_masks_show_nothing_and_cannot_be_changed, test_nothing_else_is_in_dev,
                          test_oom_score_adj, test_paths_of_the_host_are_nowhere, test_the_network_is_loopback_alone,
                          test_umask)
from test_reach import (test_directories_of_pid_1_are_out_of_reach, test_files_of_the_host_that_can_be_changed,
                        test_fork_bomb_ends_with_kill_and_nothing_is_left, test_kill_everything_leaves_pid_1,
                        test_knobs_of_the_host, test_processes_are_limited,
                        test_signals_from_inside_do_nothing_to_pid_1,
                        test_signals_from_inside_that_name_no_sender_do_nothing_to_pid_1, test_the_session_is_not_seen_as_root_outside)


@pytest.fixture(scope="module")
def daemon(build):
    d = harness.Daemon(build, wrapper=NO_NAMESPACES)
    yield d
    d.close()


def test_pid_1_is_out_of_reach(probed):
    test_reach.test_pid_1_is_out_of_reach(probed, ())


def test_pid_1_can_be_told_nothing(probed):
    """Its files in /proc are the host's root's, for it is undumpable: not the session's, whose uid it has."""
    answers = dict(probed("poke", "/proc/1"))
    assert {name for name, outcome in answers.items() if outcome == "ok"} == set(), answers


def test_files_that_open_for_writing(probed):
    test_reach.test_files_that_open_for_writing(probed, ())


def test_who_stops_commands_before_they_run_does_not_stop_pid_1(daemon, probing):
    test_reach.test_who_stops_commands_before_they_run_does_not_stop_pid_1(daemon, probing, ())


def test_calls_are_denied(probed):
    test_calls.test_every_denied_call_is_denied(probed, ())
    test_calls.test_privileges(probed, ())
