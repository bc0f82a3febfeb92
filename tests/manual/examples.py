"""The examples of the manual pages: how they are written, and how they are compared with what really happens.

Every display of a page (.Bd, .Dl, .D1) has on the line before it a comment that says what it is:

    .\" example: shell       commands after "$ " (an ordinary user) or "# " (root), each followed by its output
    .\" example: terminal    the same at a real terminal: what is typed, and all that shows, prompts too
    .\" example: systemd     as shell, on a machine that systemd has started
    .\" example: config      a configuration file that is good
    .\" example: varlink     messages on one connection: "-> " is sent and "<- " is received
    .\" example: python      a program, and after a line "prints" that is a comment (.\" example: output) what it prints
    .\" example: output      what the program before it prints
    .\" synopsis             no example: something of the form of what can be said

What differs from one time to another, such as ids, is made equal before a comparison (see VARIES); a line of "..."
stands for any number of lines, and "..." in a line for any text.
"""

import re
import subprocess

import pages

KINDS = ("shell", "terminal", "systemd", "config", "varlink", "python", "output")

# What is never twice the same: what it looks like, and what is written for it.
VARIES = [
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"\b[a-z2-7]{12}\b", "ID"),
    (r'("(?:\w+USec|realtime|pid|\w+Bytes|tasksPeak)"): ?\d+', r"\1:N"),
    (r"('(?:\w+USec|realtime|pid|\w+Bytes|tasksPeak)'): \d+", r"\1: N"),
    (r"\b\d+(\.\d+)?[KMG]\b", "SIZE"),
    (r"\b\d+(s|min|h)\b", "TIME"),
    (r" +", " "),
]


def all_displays():
    return [display for name in pages.NAMES for display in pages.page(name).displays]


def of_kind(*kinds):
    """The examples of some kinds, as parameters of a test."""
    return [display for display in all_displays() if kind(display) in kinds]


def kind(display):
    return display.comment.removeprefix("example:").strip().split(" ")[0] if display.comment.startswith("example:") \
        else display.comment


def made_equal(line):
    for pattern, instead in VARIES:
        line = re.sub(pattern, instead, line)
    return line.strip()


def as_pattern(line):
    return ".*".join(re.escape(part.strip()) for part in made_equal(line).split("..."))


def squeezed(lines):
    """Of empty lines one after the other only one is left."""
    return [line for line, before in zip(lines, ["", *lines]) if line.strip() or before.strip()]


def matches(shown, real):
    """Whether the lines shown in a page are those that came."""
    shown, real = squeezed(shown), squeezed(real)
    pattern = "".join("(?:.*\n)*" if line.strip() == "..." else as_pattern(line) + r" *\n" for line in shown)
    return re.fullmatch(pattern, "".join(made_equal(line) + "\n" for line in real)) is not None


def check(display, shown, real):
    assert matches(shown, real), "\n".join([f"{display}: the page shows", *shown, "-- but it is", *real])


def commands(display):
    """[(prompt, command, the lines shown after it)] of a transcript."""
    found = []
    for line in display.lines:
        if line[:2] in ("$ ", "# "):
            found.append((line[0], line[2:], []))
        elif found and line.startswith("> "):
            found[-1] = (found[-1][0], found[-1][1] + "\n" + line[2:], found[-1][2])
        else:
            found[-1][2].append(line)
    return found


MARK = "\x1e"


class Shell:
    """One user's shell, which runs commands one after the other. argv is its command line."""

    def __init__(self, argv, **popen):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, start_new_session=True, **popen)

    def run(self, command):
        """What it wrote up to its end, or up to where it is in the background, as lines."""
        self.process.stdin.write(f"{{ {command}\n}} </dev/null; echo '{MARK}'\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(MARK):
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended: {lines}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def follow(display, shells, wait_for):
    """Does what a transcript says. shells: {prompt: Shell}; wait_for(command) waits until one in the background has begun."""
    for prompt, command, shown in commands(display):
        check(display, shown, shells[prompt].run(command))
        if command.endswith("&"):
            wait_for(command)
