# SPDX-License-Identifier: GPL-2.0-or-later
"""What passed before, with the very same files: it need not run again.

A test is remembered under a hash of all that it could depend on: its own
command, every file of this tree, what the Makefile built for its suite, and
the computer. Any change forgets it; so does a failure.
"""

import functools
import hashlib
import json
import os
import platform

# What each target of the Makefile leaves in build/; True: only programs.
PRODUCTS = {
    'native': [('native', True)],
    'qemu': [('qemu/qemu-system-i386', False),
             ('qemu/qemu-system-x86_64', False), ('qemu/tests/qtest', True)],
    'lab': [('lab/initramfs', False), ('lab/kernel', False),
            ('lab/firmware', False)],
    'guest': [('guest', False)],
}
PRODUCTS['all'] = sum(PRODUCTS.values(), [])
PRODUCTS['guest-smp'] = [('guest-smp', False)]
NOT_OURS = {'.git', 'build', 'src', 'src.new', '__pycache__'}


def files_below(top, skip=frozenset()):
    """All files below a folder (or just that file), sorted."""
    if os.path.isfile(top):
        return [top]
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(set(folders) - skip)
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)


def hash_files(top, paths):
    """Names, what is in them, and whether they can be executed."""
    whole = hashlib.sha256()
    for path in paths:
        if not os.path.isfile(path):
            continue                    # a socket, or a link to nothing
        with open(path, 'rb') as file:
            content = hashlib.file_digest(file, 'sha256').hexdigest()
        whole.update(f'{os.path.relpath(path, top)}\0{content}\0'
                     f'{os.access(path, os.X_OK)}\n'.encode())
    return whole.hexdigest()


def computer():
    """What a test may find here and not elsewhere."""
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        cpu = [line for line in file if line.startswith('model name')]
    return [platform.release(), len(cpu), cpu[:1], os.geteuid(),
            os.path.exists('/dev/kvm')]


class Remembered:
    """The results of earlier runs, in @path. What is not asked for is not
    hashed."""

    def __init__(self, top, path):
        self.top, self.path = top, path
        self.build = os.path.join(top, 'build')
        self.here = computer()
        self.targets = {}
        try:
            with open(path, encoding='utf-8') as file:
                self.passed = json.load(file)
        except (OSError, ValueError):
            self.passed = {}

    def tree_now(self):
        """The hash of the tree."""
        return hash_files(self.top, files_below(self.top, NOT_OURS))

    @functools.cached_property
    def tree(self):
        """The hash of the tree as it was at first."""
        return self.tree_now()

    @functools.lru_cache(maxsize=None)
    def products(self, suite):
        """The hash of what was built for a suite."""
        paths = []
        for target in self.targets[suite]:
            for name, programs in PRODUCTS[target]:
                found = files_below(os.path.join(self.build, name), {'linux'})
                paths += [path for path in found
                          if not programs or os.access(path, os.X_OK)]
        return hash_files(self.build, paths)

    def built(self, suite, targets):
        """The @targets that @suite needs are built, and it will run now."""
        self.targets[suite] = targets

    def key(self, test):
        """All that a test depends on, as one word; before it runs."""
        parts = [test.suite, test.command, test.env, self.tree,
                 self.products(test.suite), self.here]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def counts(self, test, key):
        """(passed, failed, skipped) of its last run, or None: run it."""
        known = self.passed.get(test.name)
        return known['counts'] if known and known['key'] == key else None

    def note(self, test, key, counts):
        """It has run: keep that it passed, unless somebody has edited the
        tree meanwhile."""
        if counts.passed and not counts.failed and \
                self.tree_now() == self.tree:
            self.passed[test.name] = {'key': key, 'counts': list(counts)}
        else:
            self.passed.pop(test.name, None)
        with open(self.path + '.new', 'w', encoding='utf-8') as file:
            json.dump(self.passed, file, indent=1)
        os.replace(self.path + '.new', self.path)
