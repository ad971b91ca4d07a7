# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches share: machines that are metered, figures, pictures."""
