// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/dax.h> and <linux/memremap.h>. */

#include <linux/dax.h>
#include <linux/memremap.h>
