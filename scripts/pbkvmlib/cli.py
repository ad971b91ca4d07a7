# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: what there is, and who does it."""

import argparse
import os
import sys

from pbkvmlib import debug, doctor, run, status, timeline
from pbkvmlib.errors import INTERRUPTED, OK, WRONG_CALL, PbError

EXITS = """exit status:
  0  done            3  no such machine runs, or several do
  1  failed, or no   4  this build of QEMU cannot do that
  2  wrong call      5  a part or a program is missing
  130 Ctrl-C         run, replay: QEMU's own once it has started
"""

RUN_HELP = """usage: pbkvm run [--lab | --host] [--32 | --64] [--as NAME] [--print]
                 [QEMU OPTION...]

Runs a guest under -accel pbkvm, at a place where that works: this host if
its KVM and PMU serve, else the lab. QEMU's options are as ever; what they
lack is added: -accel pbkvm, -nic none, -m 128 (512 for a kernel of 64 bits),
-vga none, -display none, -serial mon:stdio (the console is this terminal),
-no-reboot, -action panic=pause, pbkvm's own Linux guest, and the sockets by
which the other commands find this machine.

  --lab, --host  run it there, whatever the check of this host says
  --32, --64     qemu-system-i386 or -x86_64, whatever -kernel is made for
  --as NAME      the machine's name (vm, or vm-2, ... if that is taken)
  --print        only show the command, without the sockets
  --             all that follows is QEMU's

pbkvm run -accel pbkvm,lag=5000
pbkvm run -kernel bzImage -initrd initrd.gz -append console=ttyS0

"""

REPLAY_HELP = """usage: pbkvm replay FILE [--lab | --host] [--32 | --64] [--as NAME]
                    [--print] [QEMU OPTION...]

Opens an evidence file in a QEMU of its own; debug it with pbkvm gdb. The
options are those of pbkvm run.

"""


def _machine(parser, text="its name, or the path of a QMP socket"):
    parser.add_argument("machine", nargs="?", metavar="MACHINE", help=text)


def _add_gdb(add):
    parser = add("gdb", help="gdb on the Backup, with symbols",
                 description="Start gdb on a running machine, at its Backup. "
                 "That freezes the Backup where it is.",
                 usage="pbkvm gdb [options] [MACHINE] [-- GDB ARGUMENT...]")
    _machine(parser, "its name, or the path of a gdb socket or HOST:PORT")
    parser.add_argument("--primary", action="store_true",
                        help="on the Primary instead (it stops)")
    parser.add_argument("--symbols", metavar="FILE",
                        help="the guest's vmlinux (else the one beside "
                        "-kernel)")
    parser.add_argument("--script", metavar="FILE",
                        help="source this when attached")
    parser.add_argument("--batch", action="store_true",
                        help="no prompt: end after --script")
    parser.set_defaults(do=debug.gdb)


def _add_status(add):
    parser = add("status", help="where Primary and Backup are, live",
                 description="Show where Primary and Backup are, again and "
                 "again on a terminal, else once.")
    _machine(parser)
    parser.add_argument("--once", action="store_true",
                        help="once; status 1 if the Backup has diverged")
    parser.add_argument("--json", action="store_true",
                        help="once, all that is known, for programs")
    parser.add_argument("--list", action="store_true",
                        help="list the running machines")
    parser.add_argument("--interval", type=_seconds, default=0.5,
                        metavar="SECONDS", help="between two looks (0.5)")
    parser.set_defaults(do=status.status)


def _add_timeline(add):
    parser = add("timeline", help="draw Primary and Backup over time",
                 description="Sample a running machine until it panics or "
                 "ends, or Ctrl-C, and draw an SVG: both positions, lag, "
                 "ring, events by kind, and marks. Of an evidence file, draw "
                 "the way from where its Backup stands to the panic.")
    parser.add_argument("source", nargs="?", metavar="MACHINE|SOCKET|FILE",
                        help="a machine's name, a QMP socket, or a FILE: "
                        "evidence, or written by --samples")
    parser.add_argument("-o", "--output", default="timeline.svg",
                        metavar="SVG", help="where to (timeline.svg; "
                        "NAME.html: as a page)")
    parser.add_argument("--samples", metavar="FILE",
                        help="also keep the samples, as JSON")
    parser.add_argument("--seconds", type=_seconds, metavar="N",
                        help="end after so long")
    parser.add_argument("--interval", type=_seconds, default=0.1,
                        metavar="SECONDS", help="between samples (0.1)")
    parser.set_defaults(do=timeline.timeline)


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.01 <= value <= 86400:
        raise argparse.ArgumentTypeError(
            f"expected seconds from 0.01 to 86400, got {text}")
    return value


def parser():
    top = argparse.ArgumentParser(
        prog="pbkvm", allow_abbrev=False,
        description="Walk into a kernel panic: a guest runs twice, its "
        "Backup a while behind.",
        epilog=EXITS + "\npbkvm COMMAND --help tells more, and so does "
        "docs/pbkvm.1.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True,
                                  metavar="COMMAND")

    def add(name, **kwargs):
        return commands.add_parser(
            name, allow_abbrev=False, epilog=EXITS,
            formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    # Their words are QEMU's: main() does not parse them here.
    add("run", help="run a guest, on this host or in the lab")
    add("replay", help="open an evidence file")
    _add_gdb(add)
    _add_status(add)
    _add_timeline(add)
    child = add("doctor", help="what this computer can do, and lacks",
                description="Check each requirement; say what is missing "
                "and how to mend it. Status 0 if pbkvm run will work.")
    child.add_argument("--host", action="store_true",
                       help="status 0 only if it works without the lab")
    child.set_defaults(do=doctor.doctor)
    return top


def colour():
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def act(argv):
    passed_on = {"run": (run.run, RUN_HELP),
                 "replay": (run.replay, REPLAY_HELP)}
    if argv and argv[0] in passed_on:
        do, text = passed_on[argv[0]]
        before = argv[1:argv.index("--")] if "--" in argv else argv[1:]
        if "--help" in before:
            print(text + EXITS, end="")
            return OK
        return do(argv[1:])
    own, rest = argv, []
    if argv[:1] == ["gdb"] and "--" in argv:
        at = argv.index("--")
        own, rest = argv[:at], argv[at + 1:]
    args = parser().parse_args(own)
    args.rest = rest
    args.colour = colour()
    return args.do(args)


def main(argv):
    """The exit status of the command line @argv."""
    if not argv:
        parser().print_help(sys.stderr)
        return WRONG_CALL
    try:
        return act(argv)
    except PbError as error:
        print(error, file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # Whoever read it has enough; nothing more to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
