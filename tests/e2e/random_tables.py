"""Assembler sources of functions whose unwind tables hold everything that an assembler can be made to write, in any
order: what compilers do not write, but some program may have. The functions are no code; the tables are valid."""

import struct

RBP, RSP, RIP = 6, 7, 16
LIT0, BREG0 = 0x30, 0x70
DEREF, DUP, DROP, AND, MINUS, MUL, OR, PLUS, PLUS_UCONST, SHL, SHR = (
    0x06, 0x12, 0x13, 0x1a, 0x1c, 0x1e, 0x21, 0x22, 0x23, 0x24, 0x25)
XOR, EQ, GE, GT, LE, LT, NE = 0x27, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e


def uleb(number):
    out = []
    while True:
        number, low = number >> 7, number & 0x7f
        out.append(low | (0x80 if number else 0))
        if not number:
            return out


def sleb(number):
    out = []
    while True:
        low, number = number & 0x7f, number >> 7
        if number == (-1 if low & 0x40 else 0):
            return out + [low]
        out.append(low | 0x80)


def constant(random):
    """DW_OP_const*, of any size."""
    code, form = random.choice(list(enumerate("BbHhIiQq", 0x08)))
    bits = struct.calcsize(form) * 8
    low, high = (0, 1 << min(bits, 20)) if form.isupper() else (-(1 << min(bits - 1, 20)), 1 << min(bits - 1, 20))
    return random.choice([
        [code, *struct.pack("<" + form, random.randrange(low, high))],
        [0x10, *uleb(random.randrange(1 << 20))],
        [0x11, *sleb(random.randrange(-1 << 20, 1 << 20))],
        [LIT0 + random.randrange(32)],
    ])


def register(random, number=None):
    return [BREG0 + (random.choice([RSP, RBP]) if number is None else number), *sleb(random.randrange(-4000, 4000))]


def expression(random):
    """What a CFA may be computed by."""
    some = random.choice
    number = random.randrange(1 << 12)
    compared = [BREG0 + RIP, *sleb(random.randrange(-9, 9)), LIT0 + 15, AND, LIT0 + random.randrange(16),
                some([EQ, GE, GT, LE, LT, NE]), LIT0 + random.randrange(6), some([SHL, SHR, MUL])]
    return some([
        register(random),
        register(random) + [PLUS_UCONST, *uleb(number)],
        register(random) + constant(random) + [some([PLUS, MINUS])],
        constant(random) + register(random) + [PLUS],
        register(random) + [DEREF],
        register(random) + [DEREF, PLUS_UCONST, *uleb(number)],
        register(random) + [DEREF] + constant(random) + [some([PLUS, MINUS])],
        register(random) + [DUP, DROP, 0x96],
        register(random, RSP) + compared + [PLUS],
        register(random) + constant(random) + constant(random) + [some([AND, OR, XOR, MUL, PLUS, MINUS]), PLUS],
        register(random) + constant(random) + constant(random) + [some([EQ, GE, GT, LE, LT, NE]), PLUS],
        register(random, some([0, 3, 10, 11, 13])),
        register(random) + [DEREF, DEREF],
        register(random) + register(random) + [PLUS],
    ])


class Function:
    REMEMBERED = 4  # at most, one in the other: core/unwind/cfi_row.cc

    def __init__(self, random, number):
        self.random, self.number = random, number
        self.is_expression = False  # the CFA
        self.remembered = []

    def source(self):
        random = self.random
        lines = [f"f{self.number}:"]
        if random.random() < .3:
            # What stands before the first code goes into the common entry, and is what is restored.
            lines += [".cfi_startproc simple", f".cfi_def_cfa {random.choice([RSP, RBP])}, {random.randrange(8, 800, 8)}",
                      ".cfi_offset %rip, -8"]
            lines += random.choice([[], [".cfi_offset %rbp, -48"], [".cfi_undefined %rbp"],
                                    [".cfi_register %rbp, %rbx"]])
        else:
            lines.append(".cfi_startproc")
        lines += random.choice([[], [], [".cfi_signal_frame"], [".cfi_personality 0x1b, f0"],
                                [".cfi_personality 0x1b, f0", ".cfi_lsda 0x1b, f0"]])
        for _ in range(random.randrange(16)):
            short = random.choice([1, 1, 2, 5, 20, 63, 64, 255, 256, 700])
            lines.append(f".skip {short if random.random() < .995 else 70000}, 0x90")
            for _ in range(random.randrange(4)):
                lines.append(self.directive())
        return lines + [f".skip {random.choice([1, 1, 9])}, 0x90", ".cfi_endproc"]

    def directive(self):
        kinds = [self.cfa, self.bp, self.bp, self.elsewhere, self.remember, self.restore_state, self.return_address]
        return self.random.choices(kinds, [5, 3, 3, 2, 2, 2, .5])[0]()

    @staticmethod
    def escape(*numbers):
        return ".cfi_escape " + ", ".join(f"{number & 0xff:#x}" for number in numbers)

    def cfa(self):
        random = self.random
        number = random.choice([8, 16, 24, 80, 808, 70000, 1 << 26])
        base = random.choice([RSP, RBP, RSP, RBP, 10, 0])
        kind = random.choice(["whole", "whole_sf", "expression"] + [
            "offset", "register", "offset_sf"] * (not self.is_expression))
        self.is_expression = kind == "expression"
        if kind == "expression":
            block = expression(random)
            return self.escape(0x0f, *uleb(len(block)), *block)
        return {"whole": f".cfi_def_cfa {base}, {number}", "offset": f".cfi_def_cfa_offset {number}",
                "register": f".cfi_def_cfa_register {base}", "whole_sf": self.escape(0x12, base, *sleb(-number // 8)),
                "offset_sf": self.escape(0x13, *sleb(-number // 8))}[kind]

    def bp(self):
        random = self.random
        number = random.choice([2, 3, 10, 500, 4096, 4097])
        block = random.choice([register(random, RBP), register(random, RSP), register(random, RBP) + [DEREF],
                               register(random, RBP) + [PLUS_UCONST, 8], constant(random)])
        return random.choice([
            f".cfi_offset %rbp, -{number * 8}", f".cfi_offset %rbp, {number * 8}", f".cfi_offset %rbp, -{number * 8}",
            ".cfi_restore %rbp", ".cfi_same_value %rbp", ".cfi_undefined %rbp", ".cfi_register %rbp, %rbx",
            self.escape(0x05, RBP, *uleb(number)), self.escape(0x06, RBP), self.escape(0x11, RBP, *sleb(-number)),
            self.escape(0x2f, RBP, *uleb(number)), self.escape(0x14, RBP, *uleb(number)),
            self.escape(0x15, RBP, *sleb(-number)), self.escape(0x10, RBP, *uleb(len(block)), *block),
            self.escape(0x16, RBP, *uleb(len(block)), *block)])

    def elsewhere(self):
        """What does not matter to a rule."""
        block = expression(self.random)
        return self.random.choice([
            ".cfi_offset %rbx, -24", ".cfi_undefined %rax", ".cfi_restore %rbx", ".cfi_register %r12, %r13",
            ".cfi_same_value %r15", self.escape(0x2e, *uleb(self.random.randrange(1000))), self.escape(0),
            self.escape(0x10, 3, *uleb(len(block)), *block), self.escape(0x16, 12, *uleb(len(block)), *block)])

    def remember(self):
        if len(self.remembered) == self.REMEMBERED:
            return self.elsewhere()
        self.remembered.append(self.is_expression)
        return ".cfi_remember_state"

    def restore_state(self):
        if not self.remembered:
            return self.elsewhere()
        self.is_expression = self.remembered.pop()
        return ".cfi_restore_state"

    def return_address(self):
        return self.random.choice([".cfi_undefined %rip", ".cfi_restore %rip", ".cfi_restore %rip",
                                   ".cfi_offset %rip, -16", ".cfi_register %rip, %rcx", ".cfi_val_offset %rsp, 8"])


# DWARF gives no meaning to a register alone where the CFA is an expression; unwinders do (core/unwind/cfi_row.cc).
REGISTER_BEHIND_EXPRESSION = "\n".join([
    "f:", ".cfi_startproc", ".skip 3, 0x90", ".cfi_def_cfa_offset 56", ".skip 3, 0x90",
    Function.escape(0x0f, 3, BREG0 + RSP, 0, DEREF), ".skip 3, 0x90", ".cfi_def_cfa_register %rsp", ".skip 3, 0x90",
    ".cfi_endproc", ""])


def source(random, functions):
    lines = [".text"]
    for number in range(functions):
        lines += Function(random, number).source()
        if random.random() < .3:
            lines.append(".skip 40")  # nothing describes what is between
    return "\n".join(lines) + "\n"
