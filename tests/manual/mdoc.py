"""Reads manual pages as mdoc(7) says they are made: sections, lists, the macros in the head of an item, and displays.

Knows the language of the pages. Knows nothing of what they are about.
"""

import dataclasses
import pathlib
import re
import shlex

# Those that are heard in the middle of a line too, and so end the arguments of the one before them.
CALLABLE = set("Ar Cm Dv Em Er Ev Fa Fl Ic Li Nm No Ns Oc Oo Op Pa Pf Ql Sy Va Vt Xc Xo Xr".split())
DELIMITERS = set(". , : ; ( ) [ ] ? ! |".split())
DISPLAYS = ("Bd", "Dl", "D1")


def words(line):
    """The words of a line, with "quoted ones" as one."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.quotes, lexer.escape, lexer.commenters = True, '"', "", ""
    return [word.replace("\\&", "") for word in lexer]


def macros(tokens):
    """[(macro, its arguments)] of one line's words; what stands before the first macro is of the macro ""."""
    found = [("", [])]
    for token in tokens:
        if token in CALLABLE:
            found.append((token, []))
        elif token not in DELIMITERS:
            found[-1][1].append(token)
    return found if found[0][1] else found[1:]


def arguments_of(macro, lines):
    """The arguments of every such macro in some lines, without delimiters, each a string."""
    return [argument for line in lines if line.startswith(".") and not line.startswith('.\\"')
            for name, arguments in macros(words(line[1:])) if name == macro for argument in arguments]


@dataclasses.dataclass
class Item:
    """One .It of a list: its head as macros, the lines of its body, and the items of lists in it."""
    head: list
    section: str
    subsection: str
    parent: "Item" = None
    body: list = dataclasses.field(default_factory=list)
    items: list = dataclasses.field(default_factory=list)

    def all(self, macro):
        """The arguments of every such macro in the head, in one list."""
        return [argument for name, arguments in self.head if name == macro for argument in arguments]

    def first(self, macro):
        """The arguments of the first macro of the head, if it is this one; as one string."""
        return " ".join(self.head[0][1]) if self.head and self.head[0][0] == macro else None

    def text(self):
        return "\n".join(self.body)

    def within(self, macro):
        """The arguments of every such macro in the body."""
        return arguments_of(macro, self.body)


@dataclasses.dataclass
class Display:
    """A literal display, and the comment right before it."""
    page: str
    line: int
    comment: str
    lines: list

    def __str__(self):
        return f"{self.page}:{self.line}"


class Page:
    """A manual page, read whole."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.name = self.path.name.removesuffix(".in")
        self.lines = self.path.read_text().splitlines()
        self.items, self.sections, self.subsections, self.displays = [], {}, [], []
        self._read()

    def top(self, section, macro=None):
        """The items that lie in no other item, of one section; with a macro, those whose head begins with it."""
        return [i for i in self.items if i.section == section and i.parent is None
                and (macro is None or i.first(macro) is not None)]

    def below(self, subsection, macro):
        """The outermost items of one subsection whose heads begin with a macro."""
        return [i for i in self.items if i.subsection == subsection and i.parent is None and i.first(macro) is not None]

    def mentioned(self, macro):
        """The arguments of every such macro anywhere in the page."""
        return set(arguments_of(macro, self.lines))

    def _read(self):
        section = subsection = ""
        open_lists, last = [], None  # the item that each open list lies in; the item that text belongs to
        lines = iter(enumerate(self.lines, 1))
        comment = None
        for number, line in lines:
            name = line[1:].split(" ", 1)[0] if line.startswith(".") else ""
            rest = line[1 + len(name):].strip() if name else ""
            if name in DISPLAYS:
                self._display(number, comment, name, rest, lines)
            elif name == "Sh":
                section, subsection, last = rest, "", None
                self.sections[section] = []
            elif name == "Ss":
                subsection, last = rest, None
                self.subsections.append(rest)
            elif name == "Bl":
                open_lists.append(last)
            elif name == "El":
                last = open_lists.pop()
            elif name == "It":
                last = self._item(rest, lines, section, subsection, open_lists[-1])
            else:
                if section:
                    self.sections[section].append(line)
                if last:
                    last.body.append(line)
            comment = line[3:].strip() if line.startswith('.\\"') else None

    def _item(self, head, lines, section, subsection, parent):
        tokens = words(head)
        if tokens[:1] == ["Xo"]:
            tokens = tokens[1:]
            while "Xc" not in tokens:
                tokens += words(next(lines)[1].removeprefix("."))
            tokens.remove("Xc")
        item = Item(macros(tokens), section, subsection, parent)
        self.items.append(item)
        if parent:
            parent.items.append(item)
        return item

    def _display(self, number, comment, name, rest, lines):
        if name != "Bd":
            self.displays.append(Display(self.name, number, comment or "", [unescape(rest)]))
            return
        content = []
        for _, line in lines:
            if line == ".Ed":
                break
            content.append(unescape(line))
        self.displays.append(Display(self.name, number, comment or "", content))


def unescape(line):
    """What a reader sees of a literal line."""
    assert line[:1] not in (".", "'"), f"a line of a display that begins so needs \\& before it: {line}"
    return re.sub(r"\\(&|e|-|\(aq|\(dq)", lambda m: {"&": "", "e": "\\", "-": "-", "(aq": "'", "(dq": '"'}[m[1]], line)
