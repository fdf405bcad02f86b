# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may go wrong in a C file of ours, one thing at a time.

mutate() gives back the source with every mutant in it, each asleep behind a number: an operand X
becomes (dps_mutant(17) ? 1 : (X)), a statement is skipped when dps_mutant(18) says so, and a file is
compiled once for all of them (mutant.h wakes one).  No C parser: the uniform style of the project
(.clang-format, no goto, braces as the kernel has them) is enough for a tokenizer and brackets.

  check    the condition of an `if` is never true: a refusal, an early exit, a comparison is gone, and
           with it the call that the condition makes
  ignored  the call is made, and what it says is ignored
  always   the condition of an `if` is always true
  clause   one operand of && or || is gone
  bound    < for <=, > for >=, and the other way round
  one      the 1 of `+ 1` or `- 1` is a 0
  call     a statement that is a call is gone: a flush, a lock, bytes that are copied
  store    an assignment is gone
  success  a path that fails says that all went well
  order    two calls, or two steps joined by && or ||, change places
  flag     one flag of A | B is gone
"""

import collections
import dataclasses
import re

OPERATORS = ("check", "ignored", "always", "clause", "bound", "one", "call", "store", "success", "order", "flag")

TOKEN = re.compile(
    r"""(?P<space>\s+|/\*.*?\*/|//[^\n]*)
    |(?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<mark><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
CLOSING = {"(": ")", "[": "]", "{": "}"}
ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
OTHER_BOUND = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

# What they change is a message, or nothing that runs: no mutants inside.
SPEECH = re.compile(r"dps_throw\w*|(g|dps)_prefix_error|g_\w*printf|\w*printf|g_auto\w*|sizeof|G_STATIC_ASSERT|g_assert\w*")
# A leak, which the sanitizers see (./dev asan), and an assertion that is not there change no result.
RELEASES = re.compile(r"g_free|close|close_fd|closedir|free|va_\w+|json_decref|g_assert\w*|g_return_\w+|g_clear_\w+"
                      r"|\w+_(unref|free|cleanup|clear)|(g|dps)_prefix_error|g_checksum_free")
# To call one of these and to ignore the answer is the same as not to call it.
PURE = re.compile(r"mem(cmp|chr)|str\w+|g_str\w*(has|equal|cmp)\w*|g_strcmp0|g_ascii_\w+|S_IS\w+|MIN|MAX|G_N_ELEMENTS|"
                  r"(\w+_)?(is|has|get|can|find|lookup|load|knows)_\w+|\w+_(is|has|get|lookup|equal)(_\w+)?|get_\w+|"
                  r"g_ptr_array_index|g_array_index|defined|sizeof|le\d+|major|minor|geteuid|g_getenv")
# Each has its own place: in any order they leave the same bytes.
STORES = re.compile(r"dps_store_\w+|json_object_set_new")
# Descriptor 0 is taken in every process that we are in: -1 alone is no descriptor.
DESCRIPTOR = re.compile(r"(\w+->|\*)?(fd|dir|\w+_fd|again|below|reader|parent|disk_dir)|(\w+->)?\w+\.(fd|dir)")
# Nothing of ours runs another program or takes a terminal: no test could see these.
UNSEEN_FLAGS = {"O_CLOEXEC", "O_NOCTTY", "SOCK_CLOEXEC", "O_RDONLY"}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: @text is what is changed, in the words of the source."""

    number: int
    path: str
    line: int
    function: str
    operator: str
    text: str

    @property
    def name(self):
        """Without a line number: other lines may come and go."""
        return f"{self.path} {self.function}: {self.operator}: {self.text}"


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    offset: int


class File:
    """A source, its tokens that matter, and what is to be put before and behind them."""

    def __init__(self, path, source, first_number):
        self.path = path
        self.source = source
        self.tokens = [
            Token(match.lastgroup, match.group(), match.start())
            for match in TOKEN.finditer(source)
            if match.lastgroup not in ("space", "directive")
        ]
        self.partner = self._pair_brackets()
        self.before = collections.defaultdict(list)  # offset -> texts, the outermost first
        self.behind = collections.defaultdict(list)  # offset -> texts, the innermost first
        self.mutants = []
        self.names = collections.Counter()
        self.next_number = first_number
        self.function = ""

    def _pair_brackets(self):
        partner, open_ones = {}, []
        for index, token in enumerate(self.tokens):
            if token.text in CLOSING:
                open_ones.append(index)
            elif token.text in CLOSING.values():
                other = open_ones.pop()
                partner[other], partner[index] = index, other
        return partner

    def text(self, first, end):
        """The source of the tokens from @first to before @end, comments and all."""
        last = self.tokens[end - 1]
        return self.source[self.tokens[first].offset : last.offset + len(last.text)]

    def words(self, first, end):
        return [token.text for token in self.tokens[first:end]]

    def wrap(self, first, end, before, behind):
        self.before[self.tokens[first].offset].append(before)
        last = self.tokens[end - 1]
        self.behind[last.offset + len(last.text)].insert(0, behind)

    def add(self, operator, first, end, text=None):
        """A new mutant of these tokens.  Returns: the C condition that is true when it is awake."""
        text = " ".join((text or self.text(first, end)).split())
        line = self.source.count("\n", 0, self.tokens[first].offset) + 1
        mutant = Mutant(self.next_number, self.path, line, self.function, operator, text)
        self.names[mutant.name] += 1
        if self.names[mutant.name] > 1:
            mutant = dataclasses.replace(mutant, text=f"{text} ({self.names[mutant.name]})")
        self.mutants.append(mutant)
        self.next_number += 1
        return f"dps_mutant({mutant.number})"

    def render(self):
        out, at = [], 0
        for offset in sorted(set(self.before) | set(self.behind)):
            out += [self.source[at:offset], *self.behind.get(offset, ()), *self.before.get(offset, ())]
            at = offset
        return "".join(out) + self.source[at:]

    # --- functions -----------------------------------------------------------------------------

    def run(self):
        index = start = 0
        while index < len(self.tokens):
            token = self.tokens[index].text
            if token == ";":
                start = index + 1
            elif token == "{" and index > 0 and self.tokens[index - 1].text == ")":
                name = self.partner[index - 1] - 1
                self.function = self.tokens[name].text
                self.result = " ".join(word for word in self.words(start, name) if word not in ("static", "inline"))
                if not RELEASES.fullmatch(self.function):
                    self.block(index)
            if token in CLOSING:
                index = self.partner[index]
                if self.tokens[index].text == "}":
                    start = index + 1
            index += 1
        return self.render(), self.mutants

    # --- statements ----------------------------------------------------------------------------

    def block(self, index):
        """@index is that of its opening brace."""
        end = self.partner[index]
        index += 1
        before = None  # the statement before this one, when it is one that may change places
        while index < end:
            first, index = index, self.statement(index, alone=False)
            movable = self.is_call(first) and not RELEASES.fullmatch(self.tokens[first].text)
            movable = movable and not STORES.fullmatch(self.tokens[first].text)
            if before is not None and movable:
                self.swap_statements(before, first, index)
            before = first if movable else None

    def swap_statements(self, first, second, end):
        """The second comes before the first; its own place is left empty."""
        awake = self.add("order", first, end)
        self.before[self.tokens[first].offset].append(f"if ({awake}) {{ {self.text(second, end)} }} ")
        self.wrap(second, end, f"if (!{awake}) {{ ", " }")

    def statement(self, index, alone):
        """@alone: it is all that its `if` guards.  Returns: the index behind it."""
        word = self.tokens[index].text
        if word == "{":
            self.block(index)
            return self.partner[index] + 1
        if word == "if":
            return self.if_statement(index)
        if word in ("while", "for", "switch"):
            end = self.partner[index + 1]
            self.expression(index + 2, end)
            return self.statement(end + 1, alone=False)
        if word == "do":
            index = self.statement(index + 1, alone=False)
            self.expression(index + 2, self.partner[index + 1])
            return self.partner[index + 1] + 2
        if word in ("case", "default"):
            while self.tokens[index].text != ":":
                index += 1
            return self.statement(index + 1, alone=False)
        return self.simple_statement(index, alone)

    def if_statement(self, index):
        close = self.partner[index + 1]
        self.condition(index + 2, close)
        end = self.statement(close + 1, alone=True)
        if self.tokens[end].text == "else":
            end = self.statement(end + 1, alone=False)
        return end

    def condition(self, first, end):
        text = f"if ({self.text(first, end)})"
        never = self.add("check", first, end, text)
        before = f"{never} ? 0 : "
        calls = [w for w, n in zip(self.words(first, end), self.words(first + 1, end)) if n == "(" and w.isidentifier()]
        if any(not PURE.fullmatch(call) for call in calls):
            before += f"{self.add('ignored', first, end, text)} ? (!({self.text(first, end)}), 0) : "
        before += f"{self.add('always', first, end, text)} ? 1 : !!("
        self.wrap(first, end, before, ")")
        self.expression(first, end)

    def end_of_statement(self, index):
        while self.tokens[index].text != ";":
            index = self.partner.get(index, index) + 1 if self.tokens[index].text in CLOSING else index + 1
        return index

    def is_expression(self, index):
        """Whether a statement is a call or an assignment, and no declaration."""
        word = self.tokens[index]
        if word.text in ("*", "++", "--"):
            return True
        if word.kind != "name" or word.text in ("return", "break", "continue", "goto", "if", "for", "while", "do", "switch"):
            return False
        index += 1
        while True:
            text = self.tokens[index].text
            if text in ("->", "."):
                index += 2
            elif text == "[":
                index = self.partner[index] + 1
            elif text == "(":
                return self.tokens[self.partner[index] + 1].text == ";"
            else:
                return text in ASSIGNMENTS or text in ("++", "--")

    def is_call(self, first):
        return self.tokens[first + 1].text == "(" and self.is_expression(first)

    def simple_statement(self, first, alone):
        end = self.end_of_statement(first)
        words = self.words(first, end)
        if not words or words[0] in ("static", "break", "continue", "G_GNUC_FALLTHROUGH"):
            return end + 1
        if words[0] == "return":
            self.return_statement(first, end)
        elif self.is_expression(first):
            is_call = self.is_call(first)
            if not alone and not (is_call and RELEASES.fullmatch(words[0])):
                awake = self.add("call" if is_call else "store", first, end)
                self.wrap(first, end + 1, f"if (!{awake}) {{ ", " }")
            self.expression(first, end)
        else:
            self.expression(first, end)
        return end + 1

    def return_statement(self, first, end):
        good = {"gboolean": "TRUE", "int": "0"}.get(self.result)
        if first + 1 == end:
            return
        if good and self.words(first + 1, end) not in ([good], ["1"]):
            awake = self.add("success", first, end)
            self.wrap(first + 1, end, f"{awake} ? {good} : (", ")")
        self.expression(first + 1, end)

    # --- expressions ---------------------------------------------------------------------------

    def split(self, first, end, separators):
        """The ranges between @separators outside of brackets, without empty ones."""
        ranges, start, index = [], first, first
        while index < end:
            text = self.tokens[index].text
            if text in separators:
                ranges.append((start, index))
                start = index + 1
            index = self.partner[index] + 1 if text in CLOSING else index + 1
        return [(a, b) for a, b in [*ranges, (start, end)] if a < b]

    def expression(self, first, end):
        for part in self.split(first, end, {",", ";", "?", ":", "return", *ASSIGNMENTS}):
            self.operands(*part, "||", 0)
        self.inside(first, end)

    def operands(self, first, end, joint, without):
        parts = self.split(first, end, {joint})
        if len(parts) > 1:
            self.swap_steps(parts)
            for part in parts:
                awake = self.add("clause", *part)
                self.wrap(*part, f"({awake} ? {without} : !!(", "))")
        for part in parts:
            if joint == "||":
                self.operands(*part, "&&", 1)
            else:
                self.comparison(*part)

    def swap_steps(self, parts):
        """Steps that can fail, such as two writes: each takes @error."""
        for (first, middle), (second, end) in zip(parts, parts[1:]):
            if "error" in self.words(first, middle) and "error" in self.words(second, end):
                joint = self.tokens[middle].text
                awake = self.add("order", first, end)
                self.wrap(first, middle, f"({awake} ? (({self.text(second, end)}) {joint} ({self.text(first, middle)})) : !!(", "))")
                self.wrap(second, end, f"({awake} ? {0 if joint == '||' else 1} : !!(", "))")

    def comparison(self, first, end):
        for part in self.split(first, end, {"==", "!="}):
            parts = self.split(*part, set(OTHER_BOUND))
            if len(parts) != 2 or parts[0][1] + 1 != parts[1][0]:
                continue
            (first, middle), (second, end) = parts
            if self.words(second, end) == ["0"] and DESCRIPTOR.fullmatch(self.text(first, middle)):
                continue
            other = OTHER_BOUND[self.tokens[middle].text]
            awake = self.add("bound", first, end)
            copy = f"{self.text(first, middle)} {other} {self.text(second, end)}"
            self.wrap(first, end, f"({awake} ? ({copy}) : (", "))")

    def inside(self, first, end):
        """Brackets, flags and ones, wherever they stand."""
        index = first
        while index < end:
            token = self.tokens[index]
            near = self.words(max(first, index - 1), index) + self.words(index + 1, min(end, index + 2))
            if token.text in CLOSING:
                close = self.partner[index]
                named = token.text == "(" and index > 0 and SPEECH.fullmatch(self.tokens[index - 1].text)
                if not named:
                    self.expression(index + 1, close)
                index = close
            elif token.kind == "name" and token.text.isupper() and "|" in near and token.text not in UNSEEN_FLAGS:
                awake = self.add("flag", index, index + 1, f"{token.text} of {self.text(first, end)}")
                self.wrap(index, index + 1, f"({awake} ? 0 : ", ")")
            elif token.kind == "number" and token.text in ("1", "1u", "1U") and index > first + 1:
                operand = self.tokens[index - 2]
                if self.tokens[index - 1].text in ("+", "-") and (operand.kind in ("name", "number") or operand.text in (")", "]")):
                    awake = self.add("one", index, index + 1, self.text(index - 2, index + 1))
                    self.wrap(index, index + 1, f"({awake} ? 0 : ", ")")
            index += 1


def mutate(path, source, first_number):
    """Returns: the source with all its mutants asleep in it, and their list."""
    return File(path, source, first_number).run()
