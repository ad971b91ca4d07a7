/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-without.c: what the tests leave out, or put in another place. */
#include "pb-host.h"
#include "pb-remedy.h"

uint32_t pb_without;
bool pb_distrust;
const char *pb_host_root = "";
