/* SPDX-License-Identifier: GPL-2.0 */
/* memfd's fuse_test believes that an answer which takes the server a second is there after 1.2 seconds: it waits longer. */
#include <unistd.h>
#define sleep(seconds) sleep(10 * (seconds))
