"""The pages name what the programs have, all of it and nothing else: who adds an option, a verb, a key, a method, an error, a log field or an exit status without its words in the manual makes one of these tests fail, and so does who takes one
out and leaves its words.

The truth is what the programs say of themselves (--help, --dump-config, what they answer), the interfaces in common/,
and lists in the source where no program can be asked. In the pages it is found by markup, never by a search for words:

    nsrootctl(1)        OPTIONS   .It Fl          what all verbs take
                        VERBS     .It [Xo] Ic     a verb, its options once more in short; in it .It Fl, its own options
    nsrootd(8)          OPTIONS   .It Fl          and in it
                        LOG       .It Va, .It Li  fields of the journal, ids of messages
                        CAPABILITIES .It Dv
    nsrootd.conf(5)     SECTIONS  .Ss [Section]   and in it .It Va Key; ".Li value" after "Default:" is its default
    nsroot-protocol(7)  INTERFACES .Ss interface  and in it .It Ic Method, .It Vt Type, .It Er Error; in those
                                                  .It Fa parameter : Vt type, .It Va member : Vt type, .It Li value
                        REFUSALS  .It Li          rules
    both programs       ENVIRONMENT .It Ev, EXIT STATUS .It

".Em Not supported yet ." as the first line says that there is such a name and nothing behind it, and has to be true.
"""

import contextlib
import json
import re
import subprocess

import pytest

import harness
import pages
from harness import CHECKOUT, USER
from mdoc import arguments_of


def sources(*patterns):
    """The text of some files of the programs."""
    return "\n".join(path.read_text() for pattern in patterns for path in sorted(CHECKOUT.glob(pattern)))


def spellings(item):
    return tuple(f"-{flag}" for flag in item.all("Fl"))


def options_of(items):
    """Options in a page, as pages.options() has them."""
    return {spellings(i)[-1]: (spellings(i), bool(i.all("Ar"))) for i in items if i.first("Fl") is not None}


def unsupported(item):
    return item.body[:1] == [".Em Not supported yet ."]


# -- the command line ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def ctl_page():
    return pages.page("nsrootctl.1")


def verb_item(page, verb):
    return next(i for i in page.top("VERBS", "Ic") if i.first("Ic") == verb)


def in_short(item):
    """The options in the head of a verb: letters may stand together."""
    found = set()
    for flag in item.all("Fl"):
        found |= {f"-{flag}"} if flag.startswith("-") else {f"-{letter}" for letter in flag}
    return found - {"--"}


def test_the_verbs(build, ctl_page):
    assert [i.first("Ic") for i in ctl_page.top("VERBS", "Ic")] == pages.verbs(build)


def test_what_all_verbs_take(build, ctl_page):
    assert options_of(ctl_page.top("OPTIONS")) == pages.options(build.client)


@pytest.mark.parametrize("verb", pages.verbs(harness.Build()))
def test_a_verbs_options(build, ctl_page, verb):
    shared, item = pages.options(build.client), verb_item(ctl_page, verb)
    own = {k: v for k, v in pages.options(build.client, *verb.split()).items() if k not in shared}
    assert options_of(item.items) == own
    assert in_short(item) == {names[0] for names, _ in own.values()}


def test_the_daemons_options(build):
    assert options_of(pages.page("nsrootd.8").top("OPTIONS")) == pages.options(build.daemon)


@pytest.mark.parametrize("name, program", [("nsrootctl.1", "client"), ("nsrootd.8", "daemon")])
def test_no_page_speaks_of_an_option_that_is_none(build, name, program):
    known = set()
    for verb in [""] + (pages.verbs(build) if program == "client" else []):
        for names, _ in pages.options(getattr(build, program), *verb.split()).values():
            known |= set(names)
    spoken = {f"-{flag}" for flag in pages.page(name).mentioned("Fl") if len(flag) == 1 or flag.startswith("-")}
    assert spoken - {"--"} <= known | {"--catalog", "--group"}


# -- exit statuses ------------------------------------------------------------------------------------------------

def statuses(page, section="EXIT STATUS"):
    return [i.head[0][1][0] for i in page.top(section)]


def test_exit_statuses_of_nsrootctl(ctl_page):
    defined = re.findall(r"#define EXIT_\w+ +(\d+)", sources("common/protocol.h"))
    assert statuses(ctl_page) == ["0", *sorted(defined, key=int), "128+"]


def test_exit_statuses_of_a_verb_of_its_own(build, ctl_page):
    """Where --help of a verb has a line of them."""
    for verb in pages.verbs(build):
        words = pages.output(build.client, *verb.split(), "--help").split("Exit status:")[1:]
        told = re.findall(r"\b(\d+),", words[0]) if words else []
        shown = [i.first("") for i in verb_item(ctl_page, verb).items if i.first("") is not None]
        assert shown == told, verb


def test_what_doctor_looks_at(ctl_page):
    checks = re.findall(r'X\(\w+, "([a-z-]+)"\)', sources("client/doctor-*.h"))
    assert [i.first("Li") for i in verb_item(ctl_page, "doctor").items if i.first("Li")] == checks


def test_what_doctor_prints_for_programs(daemon, ctl_page):
    findings = json.loads(daemon.ctl("doctor", "--json").stdout)
    assert findings and {key for finding in findings for key in finding} == set(verb_item(ctl_page, "doctor").within("Va"))


def test_signals_that_are_passed_on(ctl_page):
    passed = re.findall(r"\{ ?(SIG\w+), +(?:true|false)", sources("client/foreground.c"))
    assert arguments_of("Dv", ctl_page.sections["SIGNALS"]) == [*passed, "SIGKILL"]


def test_exit_statuses_of_nsrootd():
    assert statuses(pages.page("nsrootd.8")) == ["0", "1"]
    assert re.findall(r"\bEXIT_\w+", sources("daemon/main.c")), "it still has EXIT_SUCCESS and EXIT_FAILURE only"
    assert set(re.findall(r"\bEXIT_\w+", sources("daemon/main.c"))) == {"EXIT_SUCCESS", "EXIT_FAILURE"}


def test_signals_of_the_daemon():
    handled = re.findall(r"\{ ?(SIG\w+), +on_", sources("daemon/manager.c"))
    assert sorted(s for i in pages.page("nsrootd.8").top("SIGNALS", "Dv") for s in i.all("Dv")) == sorted(handled)


def test_where_clients_find_the_daemon(ctl_page):
    named = re.findall(r"^(?:ListenStream|Symlinks)=(.*)", sources("systemd/nsrootd.socket"), re.M)
    sockets = {path for line in named for path in line.split()}
    files = {i.first("Pa") for i in pages.page("nsrootd.8").top("FILES", "Pa")}
    assert sockets == {path for path in files if path.startswith("/run/")}
    assert [i.first("Pa") for i in ctl_page.top("FILES", "Pa")] == re.findall(
        r'SOCKET_PATH_DEFAULT +"(.*)"', sources("common/protocol.h"))


# -- environment, log, capabilities -------------------------------------------------------------------------------

BY_LIBRARIES = {"LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}  # libsystemd


@pytest.mark.parametrize("name, files, more", [
    ("nsrootctl.1", ("client/*.c",), {"TERM"}), ("nsrootd.8", ("daemon/*.c", "fetch/*.c"), BY_LIBRARIES)])
def test_the_environment(name, files, more):
    read = set(re.findall(r'getenv\("(\w+)"\)', sources(*files)))
    page = pages.page(name)
    assert {v for i in page.top("ENVIRONMENT", "Ev") for v in i.all("Ev")} == read | more


def test_fields_of_the_journal():
    fields = re.findall(r'"(NSROOT_\w+|ERRNO|MESSAGE_ID)"', sources("daemon/log.c"))
    assert {i.first("Va") for i in pages.page("nsrootd.8").top("LOG", "Va")} == set(fields)


def test_ids_of_messages():
    ids = re.findall(r"^-- ([0-9a-f]{32})$", sources("systemd/nsrootd.catalog"), re.M)
    told = [i.first("Li") for i in pages.page("nsrootd.8").items if i.section == "LOG" and i.first("Li")]
    assert sorted(told) == sorted(ids)


def test_capabilities():
    named = {c for i in pages.page("nsrootd.8").top("CAPABILITIES", "Dv") for c in i.all("Dv")}
    assert named == set(re.findall(r"\bCAP_(?!CLEAR|SET\b|PERMITTED|EFFECTIVE|INHERIT)[A-Z_]+\b",
                                   sources("daemon/privilege.c")))


# -- configuration ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def conf_page():
    return pages.page("nsrootd.conf.5")


@pytest.fixture(scope="module")
def in_force(build, tmp_path_factory):
    """The configuration that an empty file makes."""
    return pages.configuration(build, tmp_path_factory.mktemp("configuration"))


def sections_of(page):
    return [s.strip("[]") for s in page.subsections if s.startswith("[")]


def keys_of(page, section):
    return {i.first("Va"): i for i in page.below(f"[{section}]", "Va")}


def kind_of(section):
    return re.sub(" .*", " NAME", section)


def test_the_files(conf_page):
    """All main files, then all drop-ins, the highest first."""
    listed = re.search(r"directories\[\] = \{(.*?)NULL", sources("daemon/config-load.c"), re.S)[1]
    listed = listed.replace("SYSCONFDIR", '"/etc"').replace("PREFIX", '"/usr"')
    directories = [d.strip().replace('" "', "").strip('"') for d in listed.split(",") if d.strip()]
    assert [line[4:] for line in conf_page.sections["SYNOPSIS"] if line.startswith(".Pa ")] == [f"{d}/nsrootd.conf" for d in directories] + [
        f"{d}/nsrootd.conf.d/*.conf" for d in directories]
    assert [i.first("Pa") for i in conf_page.top("FILES", "Pa")] == directories


def test_the_sections(build, tmp_path, conf_page, in_force):
    personal = pages.configuration(build, tmp_path, "[User 0]\nMemoryMax=1G\n[Group 0]\nMemoryMax=1G\n")
    assert set(sections_of(conf_page)) == {kind_of(section) for section in {**in_force, **personal}}


def test_the_keys(conf_page, in_force):
    for section, keys in in_force.items():
        assert set(keys_of(conf_page, kind_of(section))) == set(keys), section


def test_the_keys_of_a_user(build, tmp_path, conf_page):
    """Those that a section of a user may have: what else stands there is warned of."""
    keys = {key: item for section in sections_of(conf_page) if section != "User NAME"
            for key, item in keys_of(conf_page, section).items()}
    assert set(keys_of(conf_page, "User NAME")) < set(keys)
    for kind in ("User", "Group"):
        for key in keys:
            file = tmp_path / "personal.conf"
            file.write_text(f"[{kind} 0]\n{key}={told_default(keys[key]) if key != 'Source' else 'file:/x'}\n")
            done = subprocess.run([build.daemon, "--config", file, "--dump-config"], capture_output=True, text=True)
            taken = f"[{kind} 0]\n{key}=" in done.stdout
            assert taken == (key in keys_of(conf_page, "User NAME")), (key, done.stderr)


def told_default(item):
    """What the page says after "Default:"."""
    text = item.text()
    found = re.search(r"^Default:\n\.Li (.*) \.$", text, re.M)
    assert found or "Default: empty." in text, text
    return found[1] if found else ""


def test_the_defaults(conf_page, in_force):
    for section, keys in in_force.items():
        shown = keys_of(conf_page, kind_of(section))
        for key, values in keys.items():
            if key != "Source":  # those of the root that is compiled in are told in words
                assert told_default(shown[key]) == values[-1], (section, key)


def test_the_default_file_agrees(build, in_force):
    """What it has in comments is what is in force without it."""
    assert pages.read_configuration(pages.output(build.daemon, "--default-config")) == in_force


BAD = '"'  # a value that no key takes


def test_every_key_has_words_and_a_range(build, tmp_path, conf_page, in_force):
    """The range that is told is the one that the daemon tells who sets a bad value."""
    file = tmp_path / "bad.conf"
    for section in in_force:
        for key, item in keys_of(conf_page, kind_of(section)).items():
            file.write_text(f"[{section}]\n{key}={BAD}\n")
            done = subprocess.run([build.daemon, "--config", file, "--check-config"], capture_output=True, text=True)
            takes = re.search(r"it takes (.*); correct it", done.stderr)
            assert done.returncode == 1 and takes, (section, key, done.stderr)
            assert f"Takes {takes[1]}." in " ".join(item.body) and len(item.body) >= 3, (section, key)


def test_no_page_speaks_of_a_key_that_is_none(conf_page):
    """Names of keys are capital, members of the protocol and fields of the journal are not like that."""
    known = {i.first("Va") for i in conf_page.items if i.section == "SECTIONS"}
    for name in pages.NAMES:
        spoken = {v for v in pages.page(name).mentioned("Va") if re.fullmatch(r"[A-Z]+[a-z]\w*", v)}
        assert spoken <= known, name


# -- the protocol -------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def protocol():
    return pages.page("nsroot-protocol.7")


def named(page, interface, macro):
    return {i.first(macro): i for i in page.below(interface, macro)}


def members_of(item, macro):
    return {i.all(macro)[0]: " ".join(i.all("Vt")) for i in item.items if i.first(macro) is not None}


def test_the_members_of_a_call(protocol):
    known = re.findall(r'streq\(key, "(\w+)"\)', sources("common/reply.c").split("int call_message_parse")[0])
    listed = [i.first("Va") for i in protocol.items if i.subsection == "Messages"]
    assert sorted(listed) == sorted(set(known) - {"continues", "error"})


def test_the_interfaces(protocol, daemon):
    assert [s for s in protocol.subsections if "." in s] == pages.INTERFACES
    assert daemon.call("org.varlink.service.GetInfo")["parameters"]["interfaces"] == pages.INTERFACES


@pytest.mark.parametrize("name", pages.INTERFACES)
def test_methods_types_and_errors(protocol, name):
    interface = pages.Interface(name)
    assert set(named(protocol, name, "Ic")) == set(interface.methods)
    assert set(named(protocol, name, "Vt")) == set(interface.types)
    assert set(named(protocol, name, "Er")) == set(interface.errors)


@pytest.mark.parametrize("name", pages.INTERFACES)
def test_parameters_and_members(protocol, name):
    interface = pages.Interface(name)
    for method, item in named(protocol, name, "Ic").items():
        if not unsupported(item):
            assert (members_of(item, "Fa"), members_of(item, "Va")) == interface.methods[method], method
    for macro, truth in (("Vt", interface.types), ("Er", interface.errors)):
        for what, item in named(protocol, name, macro).items():
            shown = members_of(item, "Va") or {i.first("Li"): "" for i in item.items}
            assert unsupported(item) or shown == truth[what], what


@pytest.mark.parametrize("name", pages.INTERFACES)
def test_what_is_not_supported_yet_is_so(protocol, name, daemon):
    for method, item in named(protocol, name, "Ic").items():
        answer = daemon.call(f"{name}.{method}", {"no such parameter": 1})
        assert unsupported(item) == answer["error"].endswith(".MethodNotImplemented"), (method, answer)


def test_parameters_that_are_not_supported_yet_are_so(protocol, daemon):
    """Of an optional parameter that is not there even null is refused."""
    for name in pages.INTERFACES:
        for method, item in named(protocol, name, "Ic").items():
            for i in [] if unsupported(item) else item.items:
                if i.first("Fa") is None or not " ".join(i.all("Vt")).startswith("?"):
                    continue
                parameter, kind = i.all("Fa")[0], " ".join(i.all("Vt"))
                some = {"?string": "x", "?bool": True, "?int": 0, "?[]string": ["x=y"]}.get(kind, {})
                required = {p: "none" for p, k in pages.Interface(name).methods[method][0].items() if k == "string"}
                required |= {"signal": "TERM"} if method == "Signal" else {}
                answer = daemon.call(f"{name}.{method}", {**required, parameter: some})
                refused = (answer.get("error"), answer["parameters"].get("parameter")) == (
                    "org.varlink.service.InvalidParameter", parameter)
                assert unsupported(i) == refused or parameter in ("network", "detached", "columns", "rows",
                                                                  "workingDirectory"), (method, parameter, answer)


def test_members_that_are_not_supported_yet_are_absent_and_the_others_are_not(protocol, daemon):
    """In what a session, the machine and the cache say of themselves. What depends on the machine may be absent."""
    daemon.run("sh", "-c", "exit 3", options=["--name", "described", "--user", "root"])
    allowance = daemon.call("org.nsroot.session.Describe", uid=USER)["parameters"]
    with contextlib.closing(harness.Running(daemon, "sleep", "60")):
        sessions = daemon.call("org.nsroot.session.List", {"all": True})["parameters"]["sessions"]
    roots = daemon.call("org.nsroot.root.List")["parameters"]["roots"]
    seen = {
        "Session": sessions, "Result": [s["result"] for s in sessions if "result" in s],
        "ProcessId": [s["leader"] for s in sessions if "leader" in s],
        "Timestamp": [s["startTimestamp"] for s in sessions],
        "Host": [allowance["host"]], "Allowance": [allowance["allowance"]],
        "Limits": [allowance["allowance"]["limits"]], "Root": roots,
    }
    depends = {"controlGroup", "signal", "coreDumped", "failedStep", "errnoName", "memoryPeakBytes", "tasksPeak",
               "idmappedMounts", "descriptorStoreMax", "fileSizeMaxBytes", "memoryMaxBytes", "tasksMax",
               "cpuQuotaPercent", "cpuTimeMaxUSec", "runtimeMaxUSec", "cpuWeight", "ioWeight", "defaultArguments", "defaultEnvironment", "stateFreeBytes",
               "userNamespacesObstacle"}
    for kind, values in seen.items():
        item = named(protocol, "org.nsroot.root" if kind == "Root" else "org.nsroot.session", "Vt")[kind]
        found = {key for value in values for key in value}
        for member in item.items:
            name = member.all("Va")[0]
            assert unsupported(member) == (name not in found) or name in depends, (kind, name)


def test_every_error_that_is_spoken_of_exists(protocol):
    known = {"io.systemd.System"}
    for name in pages.INTERFACES:
        known |= set(pages.Interface(name).errors) | {f"{name}.{e}" for e in pages.Interface(name).errors}
    assert protocol.mentioned("Er") <= known


@pytest.mark.parametrize("name", ["org.nsroot.session", "org.nsroot.root"])
def test_every_error_is_some_methods(protocol, name):
    """Each error that there is can be found where the methods are that answer with it."""
    methods, errors = named(protocol, name, "Ic"), named(protocol, name, "Er")
    told = {error for item in methods.values() for error in item.within("Er")} - {"io.systemd.System"}
    assert told - {"ExpectedMore", "InvalidParameter"} == {e for e, item in errors.items() if not unsupported(item)}


def test_errors_that_the_daemon_can_answer_are_not_called_unsupported(protocol):
    defined = re.findall(r'#define (ERROR_\w+) +(SESSION|ROOT) "\.(\w+)"', sources("common/protocol.h"))
    answered = set(re.findall(r"\bERROR_\w+\b", sources("daemon/*.c")))
    for constant, interface, error in defined:
        item = named(protocol, f"org.nsroot.{interface.lower()}", "Er")[error]
        assert unsupported(item) == (constant not in answered), error


def test_the_limits_that_can_be_reached(protocol):
    limits = re.findall(r'"limit", "(\w+)"', sources("daemon/*.c"))
    limits += re.findall(r'"(\w+PerUser)"', sources("daemon/policy.c"))
    limits += re.findall(r'\{ "(\w+)", +"\w+",', sources("daemon/limit.c"))
    reached = next(i for i in protocol.items if i.parent and i.parent.first("Er") == "LimitReached")
    assert set(reached.within("Ql")) == set(limits)


def test_the_rules(protocol):
    """In the source they are words with hyphens, or are called a rule where they stand."""
    text = sources("daemon/policy.c", "daemon/quota.c", "daemon/server.c", "daemon/methods*.c")
    rules = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text)) | set(re.findall(r'return "([a-z]+)"', text))
    rules |= set(re.findall(r'rule = "([a-z-]+)"', sources("daemon/*.c")))
    rules |= set(re.findall(r'\{ ?"rule", +"([a-z-]+)"', sources("client/explain.c")))
    assert {i.first("Li") for i in protocol.top("REFUSALS", "Li")} == rules


def test_rules_that_only_the_log_has():
    rules = set(re.findall(r'\{ ?ERROR_\w+, +NULL, +"([a-z-]+)" ?\}', sources("daemon/call.c")))
    item = next(i for i in pages.page("nsrootd.8").top("LOG", "Va") if i.first("Va") == "NSROOT_RULE")
    assert rules and set(item.within("Ql")) == rules
    assert all(f'"{rule}"' in sources("systemd/nsrootd.catalog") for rule in rules)


# -- numbers ------------------------------------------------------------------------------------------------------

def prose(name):
    """The text of a page, in one line, as a reader sees it."""
    return " ".join(re.sub(".\b", "", pages.output("mandoc", "-T", "utf8", pages.path(name))).split())


@pytest.mark.parametrize("name, words, file, definition", [
    ("nsroot-protocol.7", "longer than 256 KiB", "common/protocol.h", "MESSAGE_SIZE_MAX (256 * 1024)"),
    ("nsroot-protocol.7", "more than 8 deep", "common/protocol.h", "MESSAGE_DEPTH_MAX 8"),
    ("nsroot-protocol.7", "more than 8,192 values", "common/protocol.h", "MESSAGE_VALUES_MAX 8192"),
    ("nsroot-protocol.7", "at most 16 MiB", "common/protocol.h", "REPLY_SIZE_MAX (16 * 1024 * 1024)"),
    ("nsroot-protocol.7", "arguments, 4,096 at most", "daemon/spec.c", "STRINGS_MAX 4096"),
    ("nsroot-protocol.7", "has at most 63 of these", "daemon/spec.c", "NAME_LENGTH_MAX 63"),
    ("nsroot-protocol.7", "in more than 2,048 groups", "daemon/socket.h", "PEER_GROUPS_MAX 2048"),
    ("nsroot-protocol.7", "Twelve of the characters", "daemon/session.h", "SESSION_ID_LENGTH 12"),
    ("nsrootctl.1", "the twelve characters by which", "daemon/session.h", "SESSION_ID_LENGTH 12"),
    ("nsrootctl.1", "at most 63 of the characters", "daemon/spec.c", "NAME_LENGTH_MAX 63"),
    ("nsrootd.8", "2 seconds at most", "daemon/manager.c", "STOP_TIMEOUT (2 * USEC_PER_SEC)"),
    ("nsrootd.conf.5", "A line has at most 8,192 bytes", "daemon/config-lines.c", "LINE_LENGTH_MAX (8 * KIB)"),
    ("nsrootd.conf.5", "A file has at most 1 MiB", "daemon/config-files.c", "FILE_SIZE_MAX MIB"),
    ("nsrootd.conf.5", "has at most 63 of these", "daemon/config-table.c", "NAME_MAX_LENGTH 63"),
])
def test_a_number_in_the_text_is_the_one_in_the_source(name, words, file, definition):
    defined = [" ".join(line.split()) for line in sources(file).splitlines()]
    assert words in prose(name)
    assert [line for line in defined if line.startswith(f"#define {definition}")], definition


@pytest.mark.parametrize("name, words, section, key, value", [
    ("nsroot-protocol.7", "MessageTimeout, 5 seconds", "Daemon", "MessageTimeout", "5s"),
    ("nsroot-protocol.7", "IdleTimeout, 45 seconds", "Daemon", "IdleTimeout", "45s"),
    ("nsrootctl.1", "StopTimeout, 10 seconds", "Sessions", "StopTimeout", "10s"),
    ("nsrootctl.1", "remembered, ten minutes", "Sessions", "Remember", "10min"),
])
def test_a_default_in_the_text_is_in_force(in_force, name, words, section, key, value):
    assert words in prose(name)
    assert in_force[section][key] == [value]
