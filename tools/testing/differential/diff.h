/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the parts of the differential test: the random numbers of one call, names, open files, and how a result is
 * printed so that two runs can be compared. */
#ifndef DIFF_H
#define DIFF_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define SLOTS 10
#define BUFFER (256 << 10)

struct slot {
	int fd;
	bool dir;
};

extern struct slot slots[SLOTS];
extern uint8_t data[BUFFER];
extern const char *top;
/* Names the call, for the list of differences: what it does, and the parts that matter. */
extern char what[64];

/* Each call has numbers of its own, so that what a call does not depend on how the ones before it went. */
void seed_call(uint64_t seed, uint64_t n);
uint64_t rnd(void);
static inline unsigned int below(unsigned int n) { return rnd() % n; }
static inline bool one_in(unsigned int n) { return below(n) == 0; }
#define PICK(array) ((array)[below(sizeof(array) / sizeof((array)[0]))])

/* A path below the tree: mostly short ones that exist, sometimes odd ones. The text lives until four calls later. */
const char *path(void);
/* A path that is made for a new name in most cases. */
const char *fresh(void);
/* The slot of an open file, or of any. -1 where there is none. */
int open_slot(void);
int free_slot(void);
off_t offset(void);
size_t length(void);
/* Fills the buffer with what only this call writes. */
void fill(size_t n, uint64_t n_call);
uint64_t hash(const void *p, size_t n, uint64_t h);

/* Sets the result line: "ret" and errno where ret is -1, with more text behind. */
void result(long ret, const char *more, ...) __attribute__((format(printf, 2, 3)));
void args(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *errno_name(int e);
/* The parts of a status that both clients must agree on. */
const char *show_stat(const struct stat *s);

/* One call of each family; they print by args() and result(). */
void call_names(uint64_t n);
void call_attributes(uint64_t n);
void call_files(uint64_t n);
void call_data(uint64_t n);
void call_mapping(uint64_t n);
void call_locks(uint64_t n);
void call_xattr(uint64_t n);
/* Prints every entry of the tree, sorted. */
void show_tree(const char *dir);

#endif
