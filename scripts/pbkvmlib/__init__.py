# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/pbkvm is made of. cli is the entry; nothing imports it."""
