"""The rules of Varlink and of our own about messages, connections and descriptors, by raw bytes, as an ordinary user.

What a call means is tested elsewhere; the calls here are the cheapest there are.
"""

import contextlib
import itertools
import os
import pathlib
import re
import socket
import time

import pytest

from harness import OTHER, USER, stopped, until
from varlink import Closed, Connection, VarlinkError, call, message

SERVICE = "org.varlink.service."
SYSTEMD = "io.systemd.service."
SESSION = "org.nsroot.session."
REFUSED = SESSION + "Refused"
INVALID = SERVICE + "InvalidParameter"
IDL = pathlib.Path(__file__).parents[2] / "common"
INTERFACES = ["org.varlink.service", "io.systemd.service", "org.nsroot.session", "org.nsroot.root"]

PING = message(SYSTEMD + "Ping")
PONG = b'{"parameters":{}}'
SIZE_MAX, DEPTH_MAX, VALUES_MAX = 256 * 1024, 8, 8192


def ping(daemon, uid=USER):
    """Whether a user is served."""
    with Connection(daemon.socket, uid) as c:
        try:
            c.send(PING)
            return c.receive_bytes() == PONG
        except (BrokenPipeError, ConnectionResetError, Closed):
            return False


def settled_fds(daemon):
    """The number of its descriptors once the connections of earlier tests are gone."""
    counts = []
    daemon.cool()
    assert until(lambda: counts.append(daemon.fd_count()) or len(counts) > 5 and len(set(counts[-5:])) == 1, 10)
    return counts[-1]


@pytest.fixture(scope="module")
def used(daemon):
    """A daemon that has run something: from then on it holds the root's directory open."""
    with Connection(daemon.socket, USER) as c:
        list(c.stream(SESSION + "Run", {"arguments": ["true"]}))
    return daemon


@pytest.fixture(autouse=True)
def it_lives_and_serves_the_next(request):
    """After whatever a test did: the same process, that answers, with no descriptor more than before."""
    if "daemon" not in request.fixturenames:
        yield
        return
    daemon = request.getfixturevalue("used")
    assert ping(daemon)
    pid, before = daemon.pid, settled_fds(daemon)
    yield
    assert ping(daemon)
    assert daemon.pid == pid
    assert until(lambda: daemon.fd_count() == before, 10), (before, daemon.fd_count())


@pytest.fixture
def connection(daemon):
    """A connection that is accepted, so that the daemon's descriptor for it is among those that are counted."""
    with Connection(daemon.socket, USER) as c:
        c.send(PING)
        assert c.receive_bytes() == PONG
        yield c


def ticks(pid):
    """The processor time a process has used, in 1/100 s."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


# -- what closes the connection -----------------------------------------------------------------------------------

def nested(depth):
    """A call whose containers are that many deep: the message, its parameters, and arrays."""
    return b'{"method":"io.systemd.service.Ping","parameters":{"x":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


def wide(values):
    """A call of that many values: the message, the method, the parameters, the array, and its elements."""
    return b'{"method":"io.systemd.service.Ping","parameters":{"x":[' + b",".join([b"1"] * (values - 4)) + b"]}}"


def long(size):
    """A call of that many bytes."""
    text = b'{"method":"io.systemd.service.Ping","parameters":{"x":"'
    return text + b"y" * (size - len(text) - 3) + b'"}}'


def with_string(raw):
    return b'{"method":"io.systemd.service.Ping","parameters":{"x":"' + raw + b'"}}'


def with_value(raw):
    return b'{"method":"io.systemd.service.Ping","parameters":{"x":' + raw + b"}}"


def with_member(raw):
    return b'{"method":"io.systemd.service.Ping",' + raw + b"}"


NOT_VARLINK = {
    # not JSON at all, or only to a lenient reader
    "empty": b"",
    "blank": b"  ",
    "words": b"hello",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "unfinished": b'{"method":"io.systemd.service.Ping"',
    "single-quotes": b"{'method':'io.systemd.service.Ping'}",
    "bare-key": b'{method:"io.systemd.service.Ping"}',
    "comma-at-end": b'{"method":"io.systemd.service.Ping",}',
    "comma-at-end-of-array": with_value(b"[1,]"),
    "comment": b'{"method":"io.systemd.service.Ping"/**/}',
    "byte-order-mark": b"\xef\xbb\xbf" + PING[:-1],
    "nan": with_value(b"NaN"),
    "infinity": with_value(b"Infinity"),
    "minus-infinity": with_value(b"-Infinity"),
    "leading-zero": with_value(b"01"),
    "plus": with_value(b"+1"),
    "no-digits-after-the-point": with_value(b"1."),
    "hexadecimal": with_value(b"0x10"),
    "upper-case-true": with_value(b"True"),
    "raw-newline": with_string(b"a\nb"),
    "raw-tab": with_string(b"a\tb"),
    "unknown-escape": with_string(b"\\x41"),
    "short-escape": with_string(b"\\u12"),
    # bytes that are no text
    "not-utf8": with_string(b"\xff"),
    "cut-utf8": with_string(b"\xe2\x82"),
    "overlong-utf8": with_string(b"\xc0\xaf"),
    "surrogate-in-utf8": with_string(b"\xed\xa0\x80"),
    "beyond-unicode": with_string(b"\xf4\x90\x80\x80"),
    "not-utf8-in-a-key": b'{"method":"io.systemd.service.Ping","parameters":{"\xff":1}}',
    "lone-surrogate": with_string(b"\\ud800"),
    "low-surrogate-first": with_string(b"\\udc00\\ud800"),
    "escaped-nul": with_string(b"a\\u0000b"),
    "escaped-nul-in-a-key": b'{"method":"io.systemd.service.Ping","parameters":{"a\\u0000":1}}',
    "escaped-nul-in-the-method": b'{"method":"io.systemd.service.Ping\\u0000"}',
    # not one object
    "something-after": PING[:-1] + b"x",
    "another-object-after": PING[:-1] + PING[:-1],
    "array": b"[" + PING[:-1] + b"]",
    "string": b'"io.systemd.service.Ping"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    # an object, and not a call
    "no-method": b'{"parameters":{}}',
    "no-member": b"{}",
    "method-is-null": b'{"method":null}',
    "method-is-a-number": b'{"method":1}',
    "method-is-a-list": b'{"method":["io.systemd.service.Ping"]}',
    "method-without-interface": b'{"method":"Ping"}',
    "method-begins-with-its-only-dot": b'{"method":".Ping"}',
    "method-ends-with-a-dot": b'{"method":"io.systemd.service."}',
    "method-is-empty": b'{"method":""}',
    "unknown-key": with_member(b'"x":1'),
    "key-of-a-reply": with_member(b'"continues":false'),
    "key-in-upper-case": with_member(b'"More":true'),
    "duplicate-key": with_member(b'"method":"io.systemd.service.Ping"'),
    "duplicate-key-in-disguise": with_member(b'"\\u006dethod":"io.systemd.service.Ping"'),
    "duplicate-parameter": b'{"method":"io.systemd.service.Ping","parameters":{"x":1,"x":1}}',
    "parameters-are-a-list": with_member(b'"parameters":[]'),
    "parameters-are-a-string": with_member(b'"parameters":"{}"'),
    "parameters-are-false": with_member(b'"parameters":false'),
    "more-is-1": with_member(b'"more":1'),
    "more-is-a-string": with_member(b'"more":"true"'),
    "oneway-is-0": with_member(b'"oneway":0'),
    "upgrade-is-a-list": with_member(b'"upgrade":[]'),
    "more-and-oneway": with_member(b'"more":true,"oneway":true'),
    # more than there may be
    "too-deep": nested(DEPTH_MAX + 1),
    "very-deep": nested(100000),
    "too-many-values": wide(VALUES_MAX + 1),
    "too-large": long(SIZE_MAX + 1),
}


@pytest.mark.parametrize("text", NOT_VARLINK.values(), ids=NOT_VARLINK)
def test_what_is_not_varlink_closes_the_connection_without_a_word(connection, text):
    try:
        connection.send(text + b"\0" + PING)
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before all of it was sent
    assert connection.is_closed()


def test_a_message_without_end_is_not_collected(connection):
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100):
            connection.send(b"x" * 65536)
    assert connection.is_closed()


def test_what_came_before_is_answered_all_the_same(connection):
    connection.send(PING + b"nonsense\0" + PING)
    assert connection.receive_bytes() == PONG
    assert connection.is_closed()


def test_a_bad_message_ends_only_its_own_connection(daemon, connection):
    with Connection(daemon.socket, USER) as other, Connection(daemon.socket, OTHER) as stranger:
        other.send(b"nonsense\0")
        assert other.is_closed()
        stranger.send(PING)
        assert stranger.receive_bytes() == PONG
    connection.send(PING)
    assert connection.receive_bytes() == PONG


def test_a_disconnect_at_any_byte(daemon):
    text = message(SERVICE + "GetInterfaceDescription", {"interface": "org.nsroot.session"})
    for end in range(len(text) + 1):
        with Connection(daemon.socket, USER) as c:
            c.send(text[:end])
    assert ping(daemon)


# -- what is taken ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    b'{"method":"io.systemd.service.Ping"}',
    b'{"method":"io.systemd.service.Ping","parameters":null}',
    b'{"method":"io.systemd.service.Ping","parameters":{}}',
    b'{"parameters":{},"method":"io.systemd.service.Ping"}',
    b'{"method":"io.systemd.service.Ping","more":false}',
    b'{"method":"io.systemd.service.Ping","more":false,"oneway":false,"upgrade":false}',
    b'{"method":"io.systemd.service.Ping","upgrade":true}',
    b'{"method":"io.systemd.service.Ping","more":true}',
    b' \t\r\n{ "method" : "io.systemd.service.Ping" } \n',
    b'{"\\u006dethod":"io.systemd.service.\\u0050ing"}',
    PING[:-1].ljust(SIZE_MAX),
], ids=["bare", "null", "empty", "turned", "more-false", "all-false", "upgrade", "more", "blanks", "escapes", "padded"])
def test_every_form_of_a_call_is_taken_and_the_reply_has_one_form(connection, text):
    connection.send(text + b"\0")
    assert connection.receive_bytes() == PONG


@pytest.mark.parametrize("text", [
    nested(DEPTH_MAX), wide(VALUES_MAX), long(SIZE_MAX), with_string(b"\\ud83d\\ude00"), with_string(b"\xf0\x9f\x98\x80"),
    with_value(b"1e400"), with_value(b"99999999999999999999"), with_value(b'{"a":{"b":1,"b":2}}')
], ids=["deep", "wide", "long", "pair", "utf8", "huge", "big", "duplicate-deep-inside"])
def test_what_is_just_allowed_reaches_the_method(connection, text):
    connection.send(text + b"\0")
    assert connection.receive() == {"error": INVALID, "parameters": {"parameter": "x"}}


def test_a_message_may_come_byte_by_byte(connection):
    for byte in PING:
        connection.send(bytes([byte]))
    assert connection.receive_bytes() == PONG


def test_messages_may_come_in_any_pieces(connection):
    data = PING * 3
    for size in (len(PING) - 1, 2, len(PING) + 1):
        connection.send(data[:size])
        data = data[size:]
        time.sleep(0.02)
    connection.send(data)
    for _ in range(3):
        assert connection.receive_bytes() == PONG


# -- replies ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("method, parameters, error, told", [
    (SYSTEMD + "Nope", {}, "MethodNotFound", {"method": SYSTEMD + "Nope"}),
    (SYSTEMD + "ping", {}, "MethodNotFound", {"method": SYSTEMD + "ping"}),
    ("org.example.Ping", {}, "InterfaceNotFound", {"interface": "org.example"}),
    ("io.systemd.Ping", {}, "InterfaceNotFound", {"interface": "io.systemd"}),
    ("io.systemd.service.x.Ping", {}, "InterfaceNotFound", {"interface": "io.systemd.service.x"}),
    ("IO.systemd.service.Ping", {}, "InterfaceNotFound", {"interface": "IO.systemd.service"}),
    (SERVICE + "GetInterfaceDescription", {"interface": "org.example"}, "InterfaceNotFound", {"interface": "org.example"}),
    (SERVICE + "GetInterfaceDescription", {}, "InvalidParameter", {"parameter": "interface"}),
    (SERVICE + "GetInterfaceDescription", {"interface": None}, "InvalidParameter", {"parameter": "interface"}),
    (SERVICE + "GetInterfaceDescription", {"interface": 1}, "InvalidParameter", {"parameter": "interface"}),
    (SERVICE + "GetInterfaceDescription", {"interface": []}, "InvalidParameter", {"parameter": "interface"}),
    (SERVICE + "GetInterfaceDescription", {"interface": INTERFACES[0], "x": 1}, "InvalidParameter", {"parameter": "x"}),
    (SERVICE + "GetInfo", {"x": 1}, "InvalidParameter", {"parameter": "x"}),
    (SYSTEMD + "Ping", {"x": None}, "InvalidParameter", {"parameter": "x"}),
    (SYSTEMD + "Reload", {}, "PermissionDenied", {}),
    (SYSTEMD + "SetLogLevel", {"level": 7}, "PermissionDenied", {}),
    (SYSTEMD + "GetEnvironment", {}, "PermissionDenied", {}),
])
def test_errors_say_what_is_wrong_and_the_connection_goes_on(connection, method, parameters, error, told):
    connection.send(message(method, parameters) + PING)
    assert connection.receive() == {"error": SERVICE + error, "parameters": told}
    assert connection.receive_bytes() == PONG


def test_more_on_a_method_with_one_reply(connection):
    connection.send_call(SERVICE + "GetInfo", more=True)
    assert set(connection.receive()) == {"parameters"}
    connection.send(PING)
    assert connection.receive_bytes() == PONG


@pytest.mark.parametrize("method, parameters", [
    (SYSTEMD + "Ping", {}),
    (SYSTEMD + "Ping", {"x": 1}),
    (SYSTEMD + "Reload", {}),
    (SYSTEMD + "Nope", {}),
    ("org.example.Ping", {}),
    (SERVICE + "GetInfo", None),
    (SESSION + "Signal", {}),
    (SESSION + "Subscribe", {}),
    (SESSION + "Run", {}),
])
def test_nothing_is_sent_to_a_oneway_call(connection, method, parameters):
    connection.send(message(method, parameters, oneway=True) + message(SERVICE + "GetInfo"))
    assert "vendor" in connection.receive()["parameters"], "the first thing that comes answers the second call"


def test_replies_come_in_the_order_of_the_calls(connection):
    names = [f"org.example.n{i}" for i in range(500)]
    connection.send(b"".join(message(name + ".Method") for name in names))
    assert [connection.receive()["parameters"]["interface"] for _ in names] == names


def test_who_does_not_read_is_not_read_from_and_loses_nothing(daemon, connection):
    text, sent = message(SERVICE + "GetInterfaceDescription", {"interface": "org.nsroot.session"}), 0
    connection.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            assert connection.socket.send(text) == len(text), "so little is sent whole or not at all"
            sent += 1
    before = ticks(daemon.pid)
    time.sleep(0.5)
    assert ticks(daemon.pid) - before < 10, "waiting costs nothing"
    connection.socket.settimeout(20)
    for _ in range(sent):
        assert "description" in connection.receive()["parameters"]


def test_who_has_only_stopped_sending_is_answered(daemon, connection):
    connection.send(PING + PING)
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.receive_bytes() == PONG
    assert connection.receive_bytes() == PONG
    assert connection.is_closed()


# -- the interfaces about the service -----------------------------------------------------------------------------

def test_it_says_what_it_is(daemon):
    info = call(daemon.socket, SERVICE + "GetInfo", uid=USER)
    assert set(info) == {"vendor", "product", "version", "url", "interfaces"}
    assert all(info[key] for key in info)
    assert sorted(info["interfaces"]) == sorted(INTERFACES)


@pytest.mark.parametrize("interface", INTERFACES)
def test_it_describes_its_interfaces(daemon, interface):
    reply = call(daemon.socket, SERVICE + "GetInterfaceDescription", {"interface": interface}, uid=USER)
    assert reply == {"description": (IDL / f"{interface}.varlink").read_text()}


@pytest.mark.parametrize("interface", INTERFACES)
def test_every_method_described_is_there_and_takes_no_unknown_parameter(connection, interface):
    methods = re.findall(r"^method (\w+)", (IDL / f"{interface}.varlink").read_text(), re.M)
    assert methods
    for method in methods:
        connection.send_call(f"{interface}.{method}", {"noSuchParameter": 1})
        reply = connection.receive()
        assert reply in [
            {"error": INVALID, "parameters": {"parameter": "noSuchParameter"}},
            {"error": SERVICE + "MethodNotImplemented", "parameters": {"method": f"{interface}.{method}"}},
            {"error": SERVICE + "PermissionDenied", "parameters": {}},
        ], (method, reply)


def test_root_may_ask_for_more(fresh_daemon):
    daemon = fresh_daemon("")
    with Connection(daemon.socket) as c:
        assert c.call(SYSTEMD + "Reload") == {}
        for level in range(8):
            assert c.call(SYSTEMD + "SetLogLevel", {"level": level}) == {}
        for level in (-1, 8, "info", None, 2**63):
            with pytest.raises(VarlinkError, match=f"{INVALID}.*level"):
                c.call(SYSTEMD + "SetLogLevel", {"level": level})
        environment = c.call(SYSTEMD + "GetEnvironment")["environment"]
    assert all("=" in variable for variable in environment)


# -- descriptors --------------------------------------------------------------------------------------------------

def null_fds(n):
    return [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(n)]


@pytest.fixture
def lent():
    """lent(n): that many descriptors, closed after the test."""
    fds = []

    def lend(n):
        fds.extend(null_fds(n))
        return fds[-n:] if n else []
    yield lend
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 16, 64])
@pytest.mark.parametrize("method", [SYSTEMD + "Ping", SYSTEMD + "Nope", SESSION + "Signal"])
def test_descriptors_nobody_asked_for_are_closed(daemon, connection, lent, count, method):
    before = daemon.fd_count()
    for _ in range(10):
        connection.send_call(method, fds=lent(count))
        connection.receive()
    connection.send(PING)
    assert connection.receive_bytes() == PONG, "so the call before is over, and not only answered"
    assert daemon.fd_count() == before, "closed with the call, not with the connection"


@pytest.mark.parametrize("count", [65, 128, 253])
def test_more_descriptors_than_a_message_may_have(connection, lent, count):
    connection.send(PING, fds=lent(count))
    assert connection.is_closed()


def test_descriptors_with_a_message_that_is_none(connection, lent):
    connection.send(b"nonsense\0", fds=lent(16))
    assert connection.is_closed()


def test_descriptors_with_a_oneway_call(daemon, connection, lent):
    before = daemon.fd_count()
    for _ in range(10):
        connection.send_call(SYSTEMD + "Ping", fds=lent(16), oneway=True)
    connection.send(PING)
    assert connection.receive_bytes() == PONG
    assert daemon.fd_count() == before


@pytest.mark.parametrize("at", [1, len(PING) // 2, len(PING) - 1])
def test_descriptors_that_do_not_come_with_the_first_byte(connection, lent, at):
    connection.send(PING[:at])
    connection.send(PING[at:], fds=lent(2))
    assert connection.is_closed()


def test_descriptors_with_half_a_message(daemon, lent):
    for _ in range(10):
        with Connection(daemon.socket, USER) as c:
            c.send(PING[:10], fds=lent(16))
            time.sleep(0.01)


def test_many_messages_with_descriptors(daemon, connection, lent):
    fds = lent(16)
    for count in itertools.islice(itertools.cycle([0, 1, 2, 3, 4, 16]), 10000):
        connection.send(PING, fds=fds[:count])
        assert connection.receive_bytes() == PONG
    assert connection.fds == []


@pytest.mark.parametrize("glued", [False, True])
def test_descriptors_belong_to_the_message_they_came_with(daemon, connection, glued):
    """The kernel hands out a message without descriptors together with the next one and its descriptors."""
    run = message(SESSION + "Run", {"arguments": ["echo", "mine"], "standardOutputFileDescriptor": 0}, more=True)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as output:
        with os.fdopen(writer, "wb"), stopped(daemon.pid) if glued else contextlib.nullcontext():
            connection.send(run)
            connection.send(run, fds=[writer])
        assert connection.receive()["error"] == SESSION + "BadFileDescriptor", "the first has none"
        while connection.receive().get("continues"):
            pass
        assert output.read() == b"mine\n", "the second has its own"


# -- time ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def hasty(fresh_daemon):
    return fresh_daemon("[Daemon]\nMessageTimeout=300ms\nIdleTimeout=1500ms\n")


def lasted(connection):
    """Seconds until the other side closed it, without a word."""
    start = time.monotonic()
    assert connection.is_closed()
    return time.monotonic() - start


def test_half_a_message_is_not_waited_for(hasty):
    with Connection(hasty.socket, USER) as c:
        c.send(PING[:-1])
        assert 0.2 < lasted(c) < 1.4


def test_a_slow_message_is_not_given_more_time(hasty):
    with Connection(hasty.socket, USER) as c:
        start = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < start + 10:
                c.send(b" ")
                time.sleep(0.02)
        assert time.monotonic() - start < 1.4


def test_an_idle_connection_is_closed_and_a_used_one_is_not(hasty):
    with Connection(hasty.socket, USER) as silent, Connection(hasty.socket, USER) as used:
        start = time.monotonic()
        while time.monotonic() < start + 2.5:
            used.send(PING)
            assert used.receive_bytes() == PONG
            time.sleep(0.1)
        assert silent.is_closed()
        assert 1.3 < lasted(used) < 4


def test_a_connection_that_waits_for_an_answer_is_not_idle(hasty):
    with Connection(hasty.socket, USER) as c:
        replies = list(c.stream(SESSION + "Run", {"arguments": ["sleep", "4"]}))
        assert replies[-1]["session"]["result"]["cause"] == "exited"


def test_a_hang_up_costs_nothing_while_a_call_is_in_flight(daemon):
    with Connection(daemon.socket, USER) as c:
        c.send_call(SESSION + "Run", {"arguments": ["sleep", "2"]}, more=True)
        assert c.receive().get("continues")
        c.socket.shutdown(socket.SHUT_WR)
        before = ticks(daemon.pid)
        time.sleep(1)
        assert ticks(daemon.pid) - before < 10
        while c.receive().get("continues"):
            pass


def test_a_hang_up_is_noticed_while_a_call_is_in_flight(daemon):
    def sessions():
        return [s["id"] for s in call(daemon.socket, SESSION + "List", uid=USER)["sessions"] if s["state"] == "running"]

    with Connection(daemon.socket, USER) as c:
        c.send_call(SESSION + "Run", {"arguments": ["sleep", "600"]}, more=True)
        session = c.receive()["parameters"]["session"]["id"]
        assert session in sessions()
    assert until(lambda: session not in sessions(), 5)


# -- quotas and admission -----------------------------------------------------------------------------------------

def rule_of(connection):
    """The rule by which a connection is refused; None where it is served."""
    try:
        connection.send(PING)
    except (BrokenPipeError, ConnectionResetError):
        pass
    reply = connection.receive()
    if "error" not in reply:
        return None
    assert reply["error"] == REFUSED and set(reply["parameters"]) == {"rule"}
    assert connection.is_closed()
    return reply["parameters"]["rule"]


def test_a_user_has_so_many_connections_and_root_the_last(fresh_daemon):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=3\nConnectionsMax=6\nConnectionsKeptForRoot=1\n")
    opened = []

    def connect(uid):
        opened.append(Connection(daemon.socket, uid))
        return rule_of(opened[-1])

    assert [connect(USER) for _ in range(4)] == [None, None, None, "connections-per-user"]
    assert [connect(OTHER) for _ in range(3)] == [None, None, "connections"]
    assert [connect(None) for _ in range(2)] == [None, "connections"]
    opened[0].close()
    assert until(lambda: connect(USER) is None, 10), "a place that is given back is free"
    for c in opened:
        c.close()


def test_128_connections_a_user_is_the_default(fresh_daemon):
    daemon = fresh_daemon("")
    opened = [Connection(daemon.socket, USER) for _ in range(128)]
    for c in opened:
        assert rule_of(c) is None
    with Connection(daemon.socket, USER) as one_more:
        assert rule_of(one_more) == "connections-per-user"
    assert ping(daemon, OTHER)
    for c in opened:
        c.close()


def test_waiting_for_a_foreground_session_is_not_counted(fresh_daemon):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=2\n")
    waiting = [Connection(daemon.socket, USER) for _ in range(2)]
    for c in waiting:
        c.send_call(SESSION + "Run", {"arguments": ["sleep", "60"]}, more=True)
        assert c.receive().get("continues")
    assert ping(daemon)
    for c in waiting:
        c.close()


def test_following_what_a_session_prints_is_counted(fresh_daemon):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=2\n")
    with Connection(daemon.socket, USER) as c:
        id = c.call(SESSION + "Run", {"arguments": ["sleep", "60"], "detached": True})["session"]["id"]
        with Connection(daemon.socket, USER) as follower:
            for connection in (c, follower):
                connection.send_call(SESSION + "Logs", {"id": id, "follow": True}, more=True)
            with Connection(daemon.socket, USER) as one_more:
                assert rule_of(one_more) == "connections-per-user"


@pytest.mark.parametrize("first", [PING, b"not varlink at all", b"\0", b"x" * 20000],
                         ids=["call", "words", "nul", "much"])
def test_who_is_refused_is_told_whatever_it_says(fresh_daemon, first):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=1\n")
    with Connection(daemon.socket, USER) as allowed, Connection(daemon.socket, USER) as refused:
        assert rule_of(allowed) is None
        refused.send(first)
        assert refused.receive() == {"error": REFUSED, "parameters": {"rule": "connections-per-user"}}
        assert refused.is_closed()


def test_who_is_refused_is_told_nothing_before_and_has_a_second(fresh_daemon):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=1\n")
    with Connection(daemon.socket, USER) as allowed, Connection(daemon.socket, USER) as refused:
        assert rule_of(allowed) is None
        assert 0.5 < lasted(refused) < 3


def test_descriptors_of_the_refused_go_nowhere(fresh_daemon, lent):
    daemon = fresh_daemon("[Daemon]\nConnectionsPerUser=1\n")
    with Connection(daemon.socket, USER) as allowed:
        assert rule_of(allowed) is None
        before = daemon.fd_count()
        for _ in range(20):
            with Connection(daemon.socket, USER) as refused:
                refused.send(PING, fds=lent(16))
                assert refused.receive()["error"] == REFUSED
        assert until(lambda: daemon.fd_count() == before, 10)


def test_a_flood_of_connections_does_not_keep_another_user_out(daemon):
    flood = []
    for _ in range(400):
        flood.append(Connection(daemon.socket, USER))
    start = time.monotonic()
    assert ping(daemon, OTHER)
    assert time.monotonic() - start < 2
    for c in flood:
        c.close()
    assert until(lambda: ping(daemon), 10), "and its maker is served again when it is over"


def test_a_system_user_is_not_served(daemon):
    with Connection(daemon.socket, 33) as c:
        assert rule_of(c)


def test_a_connection_is_its_makers_whoever_uses_it(daemon):
    """Rights are those of connect(2): a descriptor handed to root gives no more."""
    with Connection(daemon.socket, USER) as c:
        with pytest.raises(VarlinkError, match="PermissionDenied"):
            c.call(SYSTEMD + "Reload")
