/* SPDX-License-Identifier: GPL-2.0-or-later */
/* each-size.h: loops.h once for each size of record that is measured. */
#define SIZE 4
#include "loops.h"
#undef SIZE
#define SIZE 8
#include "loops.h"
#undef SIZE
#define SIZE 16
#include "loops.h"
#undef SIZE
#define SIZE 32
#include "loops.h"
#undef SIZE
#define SIZE 64
#include "loops.h"
#undef SIZE
