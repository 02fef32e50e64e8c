// SPDX-License-Identifier: GPL-2.0
/* The C shims once more: a module has its own. */

#include "../../rust/helpers/helpers.c"
