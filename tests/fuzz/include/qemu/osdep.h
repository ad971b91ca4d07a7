/* SPDX-License-Identifier: GPL-2.0-or-later */
/* osdep.h: as much of QEMU's as the devices' chips use, to build them alone. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
